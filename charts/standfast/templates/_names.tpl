{{/* Names and labels that several templates share. */}}

{{- define "standfast.name" -}}
{{- if contains "standfast" .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-standfast" .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{- define "standfast.operator" -}}
{{ include "standfast.name" . }}-operator
{{- end -}}

{{- define "standfast.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "standfast.operator" .) }}
{{- else -}}
{{ required "serviceAccount.create is false, so the chart needs to know which account to use: set serviceAccount.name" .Values.serviceAccount.name }}
{{- end -}}
{{- end -}}

{{- define "standfast.selector" -}}
app.kubernetes.io/name: standfast-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "standfast.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/part-of: standfast
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ include "standfast.selector" . }}
{{- end -}}

{{/* An image by digest, by tag, or by the chart's version; called with (list image chart). */}}
{{- define "standfast.image" -}}
{{- $image := index . 0 -}}
{{- $chart := index . 1 -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default $chart.AppVersion }}
{{- end -}}
{{- end -}}
