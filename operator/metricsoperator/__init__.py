"""The operator: a MetricsCluster in, Kubernetes objects and a status out.

Pure: names, fields, spec, schema, manifests, plan, status. Only `apply` talks to the API server, only `handlers` knows kopf.
"""
