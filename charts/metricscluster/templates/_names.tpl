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
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "metricscluster.podLabels" -}}
{{ include "metricscluster.selector" . }}
app.kubernetes.io/part-of: metricscluster
{{- end }}

{{/* Labels of an object of the release that is not the operator's. A tag may be longer, and begin and end otherwise than a label's value. */}}
{{- define "metricscluster.shared" -}}
app.kubernetes.io/name: metricscluster
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ include "metricscluster.tag" . | trunc 63 | trimAll "-_." | quote }}
app.kubernetes.io/part-of: metricscluster
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- end }}

{{- define "metricscluster.labels" -}}
{{ include "metricscluster.shared" . }}
app.kubernetes.io/component: operator
{{- end }}

{{/* Labels of ours and of the values, (list "app: x" .Values.labels): one of each name, and ours win. */}}
{{- define "metricscluster.merged" -}}
{{ merge (fromYaml (index . 0)) (index . 1) | toYaml }}
{{- end }}

{{- define "metricscluster.tag" -}}
{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "metricscluster.image" -}}
{{ printf "%s/metricscluster-operator:%s" .Values.image.registry (include "metricscluster.tag" .) }}{{ with .Values.image.digest }}@{{ . }}{{ end }}
{{- end }}

{{/* Not empty when the release makes both the CustomResourceDefinition and the first MetricsCluster: Helm cannot make an object
     before the API server knows its kind, so the MetricsCluster waits for it and comes as a hook. Helm deletes what is there of a
     hook's name before, so it never is one where the CustomResourceDefinition is there, whatever discovery says. */}}
{{- define "metricscluster.first" -}}
{{- $known := .Capabilities.APIVersions.Has "metricscluster.io/v1alpha1/MetricsCluster" }}
{{- $found := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" "metricsclusters.metricscluster.io" }}
{{- if and .Values.metricsCluster.enabled .Values.crds.install (not (or $known $found)) -}}
first
{{- end }}
{{- end }}

{{- define "metricscluster.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "metricscluster.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* By which the pods of a hook are found: (list . "wait"). */}}
{{- define "metricscluster.hook" -}}
app.kubernetes.io/name: metricscluster
app.kubernetes.io/instance: {{ (index . 0).Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* What the pods of hooks share: where they run, and with the operator's ServiceAccount. */}}
{{- define "metricscluster.hookPod" -}}
serviceAccountName: {{ include "metricscluster.operator" . | quote }}
automountServiceAccountToken: true
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.operator.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.operator.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- include "metricscluster.podSecurity" . | nindent 2 }}
{{- end }}

{{- define "metricscluster.hookContainer" -}}
image: {{ include "metricscluster.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy | quote }}
resources:
  requests: {cpu: 10m, memory: 32Mi, ephemeral-storage: "0"}
  limits: {cpu: 500m, memory: 64Mi, ephemeral-storage: 16Mi}
securityContext: {{- include "metricscluster.containerSecurity" . | nindent 2 }}
{{- end }}

{{/* kube-score would have images pulled at each start, "to always get the image you want". Tags here are of versions, or the value
     digest says it for good; and where the registry is away, pods whose image is on their node still start. */}}
{{- define "metricscluster.judged" -}}
{{- if ne .Values.image.pullPolicy "Always" -}}
kube-score/ignore: container-image-pull-policy
{{- end }}
{{- end }}

{{- define "metricscluster.toApiServer" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
    - {port: 443, protocol: TCP}
    - {port: 6443, protocol: TCP}
{{- end }}
