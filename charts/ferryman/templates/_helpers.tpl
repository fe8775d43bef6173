{{- define "ferryman.image" -}}
{{- $repository := .Values.image.repository | default (printf "%s/ferryman" .Values.registry) -}}
{{- if .Values.image.digest -}}
{{ $repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ $repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
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
