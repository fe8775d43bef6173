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
