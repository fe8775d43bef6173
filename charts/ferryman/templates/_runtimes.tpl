{{/* The shipped InferenceRuntimes, one document a name, as the operator reads them. */}}
{{- define "ferryman.runtimeBenchmark" -}}
{{- $registry := .registry }}
{{- with .benchmark }}
{{- if .enabled }}
benchmark:
  model:
    storageUri: {{ .storageUri | default (printf "oci://%s/models/resnet50:1" $registry) | quote }}
    modelFormat: {name: onnx}
  maxBatchSize: {{ .maxBatchSize }}
  timeLimitSeconds: {{ .timeLimitSeconds }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "ferryman.runtimes" -}}
{{- $runtimes := .Values.runtimes -}}
{{- $registry := include "ferryman.registry" . -}}
{{- if (index $runtimes "triton").enabled }}
{{- with index $runtimes "triton" }}
triton.yaml: |
  apiVersion: serving.ferryman.dev/v1alpha1
  kind: InferenceRuntime
  metadata:
    name: triton
    labels: {app.kubernetes.io/part-of: ferryman}
  spec:
    imagePullPolicy: IfNotPresent
    {{- with .pod }}
    pod: {{- toYaml . | nindent 6 }}
    {{- end }}
    processors:
      - class: gpu
        image: {{ .image | quote }}
        backends: {onnx: onnxruntime, tensorrt: tensorrt, pytorch: pytorch, python: python}
        instanceKind: KIND_GPU
        resourceName: nvidia.com/gpu
        {{- with .gpuTolerations }}
        tolerations: {{- toYaml . | nindent 10 }}
        {{- end }}
        resources: {{- toYaml .gpu | nindent 10 }}
        {{- if not (kindIs "invalid" .allowCode) }}
        allowCode: {{ .allowCode }}
        {{- end }}
        {{- with .liveCap }}
        liveCap: {{- toYaml . | nindent 10 }}
        {{- end }}
        {{- with .drain }}
        drain: {{- toYaml . | nindent 10 }}
        {{- end }}
      - class: cpu
        image: {{ .image | quote }}
        backends: {onnx: onnxruntime, pytorch: pytorch, openvino: openvino, python: python}
        instanceKind: KIND_CPU
        resources: {{- toYaml .cpu | nindent 10 }}
        {{- if not (kindIs "invalid" .allowCode) }}
        allowCode: {{ .allowCode }}
        {{- end }}
        {{- with .liveCap }}
        liveCap: {{- toYaml . | nindent 10 }}
        {{- end }}
        {{- with .drain }}
        drain: {{- toYaml . | nindent 10 }}
        {{- end }}
    {{- include "ferryman.runtimeBenchmark" (dict "benchmark" .benchmark "registry" $registry) | nindent 4 }}
{{- end }}
{{- end }}
{{- if (index $runtimes "triton-cpu").enabled }}
{{- with index $runtimes "triton-cpu" }}
triton-cpu.yaml: |
  apiVersion: serving.ferryman.dev/v1alpha1
  kind: InferenceRuntime
  metadata:
    name: triton-cpu
    labels: {app.kubernetes.io/part-of: ferryman}
  spec:
    imagePullPolicy: IfNotPresent
    {{- with .pod }}
    pod: {{- toYaml . | nindent 6 }}
    {{- end }}
    processors:
      - class: cpu
        image: {{ .image | default (printf "%s/triton-cpu:2.51" $registry) | quote }}
        backends: {onnx: onnxruntime, python: python}
        instanceKind: KIND_CPU
        resources: {{- toYaml .cpu | nindent 10 }}
        {{- if not (kindIs "invalid" .allowCode) }}
        allowCode: {{ .allowCode }}
        {{- end }}
        {{- with .liveCap }}
        liveCap: {{- toYaml . | nindent 10 }}
        {{- end }}
        {{- with .drain }}
        drain: {{- toYaml . | nindent 10 }}
        {{- end }}
    {{- include "ferryman.runtimeBenchmark" (dict "benchmark" .benchmark "registry" $registry) | nindent 4 }}
{{- end }}
{{- end }}
{{- range $name, $spec := .Values.extraRuntimes }}
{{- if dig $name "enabled" false $runtimes }}
{{- fail (printf "extraRuntimes.%s: runtimes.%s is enabled, and both would be one object: rename it, or disable that" $name $name) }}
{{- end }}
{{ $name }}.yaml: |
  apiVersion: serving.ferryman.dev/v1alpha1
  kind: InferenceRuntime
  metadata:
    name: {{ $name | quote }}
    labels: {app.kubernetes.io/part-of: ferryman}
  spec: {{- toYaml $spec | nindent 4 }}
{{- end }}
{{- end -}}
