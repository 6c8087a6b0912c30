{{/* The name of everything of the operator; the release's own, so that two releases do not meet. */}}
{{- define "metricscluster.operator" -}}
{{ printf "%s-operator" .Release.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* How the names of its objects without a namespace begin; another release elsewhere has others. */}}
{{- define "metricscluster.beyond" -}}
{{ printf "%s-%s" .Release.Namespace .Release.Name }}
{{- end }}

{{- define "metricscluster.selector" -}}
app.kubernetes.io/name: metricscluster
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "metricscluster.labels" -}}
{{ include "metricscluster.selector" . }}
app.kubernetes.io/version: {{ include "metricscluster.tag" . | quote }}
app.kubernetes.io/part-of: metricscluster
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "metricscluster.tag" -}}
{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
