{{/* Helm takes an object that is there already, but is not in the last manifest of the release, as it is: what the values say of
     it is ignored, without a word. That is so of what `helm uninstall` kept, of the MetricsCluster that the first installation made
     as a hook, and of one that was switched off meanwhile. These refuse to go on where the values say something else. */}}

{{/* Whether Helm takes an object for the release's own: (list . found). Of others it says itself that they are not. */}}
{{- define "metricscluster.ours" -}}
{{- $told := dig "metadata" "annotations" dict (index . 1) }}
{{- if and (eq (get $told "meta.helm.sh/release-name") (index . 0).Release.Name) (eq (get $told "meta.helm.sh/release-namespace") (index . 0).Release.Namespace) -}}
ours
{{- end }}
{{- end }}

{{- define "metricscluster.checkDefinition" -}}
{{- $found := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" "metricsclusters.metricscluster.io" }}
{{- if and .Release.IsInstall (include "metricscluster.ours" (list . $found)) }}
{{- $wanted := .Files.Get "files/crd.yaml" | fromYaml }}
{{- if ne (toJson (index $wanted.spec.versions 0).schema) (toJson (index $found.spec.versions 0).schema) }}
{{- fail (printf "the CustomResourceDefinition that is in the cluster is another than this chart's, and `helm install` would leave it so. Change it, then install again:\n\n  helm template %s <this chart> --namespace %s --show-only templates/crd.yaml | kubectl apply --server-side --force-conflicts -f -\n" .Release.Name .Release.Namespace) }}
{{- end }}
{{- end }}
{{- end }}

{{/* The annotation by which the operator's ServiceAccount says which MetricsCluster is in the manifest of the release: upgrades and
     rollbacks change it with the manifest. */}}
{{- define "metricscluster.inRelease" -}}
{{- if and .Values.metricsCluster.enabled (not (include "metricscluster.first" .)) -}}
metricscluster.io/in-release: {{ .Values.metricsCluster.name | quote }}
{{- end }}
{{- end }}

{{- define "metricscluster.checkResource" -}}
{{- $name := .Values.metricsCluster.name }}
{{- $spec := .Values.metricsCluster.spec | default dict }}
{{- $found := lookup "metricscluster.io/v1alpha1" "MetricsCluster" .Release.Namespace $name }}
{{- $account := lookup "v1" "ServiceAccount" .Release.Namespace (include "metricscluster.operator" .) }}
{{- $last := dig "metadata" "annotations" "metricscluster.io/in-release" "" $account }}
{{- if and (include "metricscluster.ours" (list . $found)) (ne $last $name) }}
{{- with include "metricscluster.differences" (list "" $spec $found.spec) | trim }}
{{- $patch := dict "spec" $spec | toJson | replace "'" "'\\''" }}
{{- fail (printf "MetricsCluster %s is there already, and is not as metricsCluster.spec says: Helm takes it into the release and would leave it as it is in %s. Change it, then do this again; later upgrades change it themselves:\n\n  kubectl --namespace %s patch metricscluster %s --type=merge --patch '%s'\n" $name (splitList "\n" . | join ", ") $.Release.Namespace $name $patch) }}
{{- end }}
{{- end }}
{{- end }}

{{/* A line for each field of (list path wanted found) that is not as wanted; what is wanted of no field may be anything. */}}
{{- define "metricscluster.differences" -}}
{{- $path := index . 0 }}
{{- $wanted := index . 1 }}
{{- $found := index . 2 }}
{{- if and (kindIs "map" $wanted) (kindIs "map" $found) }}
{{- range $name, $value := $wanted }}
{{- include "metricscluster.differences" (list (printf "%s.%s" $path $name) $value (get $found $name)) }}
{{- end }}
{{- else if and (kindIs "slice" $wanted) (kindIs "slice" $found) (eq (len $wanted) (len $found)) }}
{{- range $number, $value := $wanted }}
{{- include "metricscluster.differences" (list (printf "%s[%d]" $path $number) $value (index $found $number)) }}
{{- end }}
{{- else if ne (toJson $wanted) (toJson $found) }}
{{ printf "spec%s" $path }}
{{- end }}
{{- end }}
