{{/*
The sidecar for an application's own chart that has this one as a dependency, with `mode: sidecar` among its values. All take
the dependency's context, `.Subcharts.cottontail`:

  cottontail.sidecar                                 keys of the pod's spec; enough where it has no volumes or initContainers
  cottontail.sidecar.container                       an item for initContainers
  cottontail.sidecar.volumes                         items for volumes
  cottontail.sidecar.terminationGracePeriodSeconds   a number
  cottontail.sidecar.annotations                     for the pod, so that it is replaced when the configuration changes
*/}}

{{- define "cottontail.sidecar" -}}
terminationGracePeriodSeconds: {{ include "cottontail.sidecar.terminationGracePeriodSeconds" . }}
initContainers:
  {{- include "cottontail.sidecar.container" . | nindent 2 }}
volumes:
  {{- include "cottontail.sidecar.volumes" . | nindent 2 }}
{{- end -}}

{{- define "cottontail.sidecar.container" -}}
{{- if ne .Values.mode "sidecar" -}}
{{- fail "cottontail.sidecar needs `mode: sidecar` among the values of the dependency" -}}
{{- end -}}
- {{ include "cottontail.container" . | nindent 2 | trim }}
{{- end -}}

{{- define "cottontail.sidecar.volumes" -}}
{{- include "cottontail.volumes" . -}}
{{- end -}}

{{- define "cottontail.sidecar.terminationGracePeriodSeconds" -}}
{{- include "cottontail.terminationGracePeriodSeconds" . -}}
{{- end -}}

{{- define "cottontail.sidecar.annotations" -}}
{{- include "cottontail.checksums" . -}}
{{- end -}}
