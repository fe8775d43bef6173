{{- define "ferryman.registry" -}}
{{ .Values.global.imageRegistry | default .Values.registry }}
{{- end -}}

{{- define "ferryman.image" -}}
{{- $repository := .Values.image.repository | default (printf "%s/ferryman" (include "ferryman.registry" .)) -}}
{{- if .Values.image.digest -}}
{{ $repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ $repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* The chart names the image once: benchmarks, fetching pods and their admission policy go by it. */}}
{{- define "ferryman.oneImage" -}}
{{- $words := "names Ferryman's image a second time, which its admission policies refuse: remove it, and set image.repository, image.tag or image.digest" -}}
{{- range .Values.operator.extraArgs }}
{{- if regexMatch "^--im(a(ge?)?)?(=|$)" (toString .) }}
{{- fail (printf "operator.extraArgs: %v %s" . $words) }}
{{- end }}
{{- end }}
{{- range .Values.operator.extraEnv }}
{{- if eq .name "FERRYMAN_IMAGE" }}
{{- fail (printf "operator.extraEnv: %s %s" .name $words) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A variable that stands twice is refused by the API server, or the latter silently counts. */}}
{{- define "ferryman.onceInEnv" -}}
{{- range .theirs }}
{{- if has .name $.ours }}
{{- fail (printf "%s.extraEnv: %s is set by the chart itself: remove it" $.part .name) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Labels are the same however Ferryman is installed: the kustomize base is compared with the chart. */}}
{{- define "ferryman.labels" -}}
app.kubernetes.io/name: ferryman
app.kubernetes.io/component: {{ . }}
app.kubernetes.io/part-of: ferryman
{{- end -}}

{{- define "ferryman.selector" -}}
app.kubernetes.io/name: ferryman
app.kubernetes.io/component: {{ . }}
{{- end -}}

{{/* The user's labels, but for those that are the chart's own. */}}
{{- define "ferryman.besides" -}}
{{- $ours := fromYaml .ours }}
{{- range $name, $value := .theirs }}
{{- if not (hasKey $ours $name) }}
{{ $name }}: {{ $value | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "ferryman.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "ferryman.podSecurity" -}}
runAsNonRoot: true
{{- with .Values.podSecurityContext }}
{{ toYaml . }}
{{- end }}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* How long the operator stays on a node that died, unless its tolerations say so of the taint.
Kubernetes' own default is five minutes. */}}
{{- define "ferryman.operatorTolerations" -}}
{{- range $taint, $seconds := dict "node.kubernetes.io/not-ready" 5 "node.kubernetes.io/unreachable" 0 }}
{{- $said := false }}
{{- range $.Values.operator.tolerations }}
{{- if and (eq (.key | default $taint) $taint) (eq (.effect | default "NoExecute") "NoExecute") }}
{{- $said = true }}
{{- end }}
{{- end }}
{{- if not $said }}
- {key: {{ $taint }}, operator: Exists, effect: NoExecute, tolerationSeconds: {{ $seconds }}}
{{- end }}
{{- end }}
{{- end }}

{{/* Whether a request is made with the token of a ServiceAccount of this name. */}}
{{- define "ferryman.isAccount" -}}
- name: by-{{ . }}
  expression: request.userInfo.username.matches('^system:serviceaccount:[^:]+:{{ . }}$')
{{- end -}}

{{- define "ferryman.policyBinding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ . }}
  labels: {{- include "ferryman.labels" "policy" | nindent 4 }}
spec:
  policyName: {{ . }}
  validationActions: [Deny]
{{- end -}}

{{/* CEL: that fields of a profile's status are as they were, absent ones too. */}}
{{- define "ferryman.sameStatusFields" -}}
{{- range $index, $field := . }}
{{- if $index }} && {{ end -}}
(has(object.status) && has(object.status.{{ $field }}) ? [object.status.{{ $field }}] : []) == (has(oldObject.status) && has(oldObject.status.{{ $field }}) ? [oldObject.status.{{ $field }}] : [])
{{- end }}
{{- end -}}
