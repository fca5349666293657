{{/* The container and its volumes, for the Deployment of the chart and for an application's own. */}}

{{- define "cottontail.container" -}}
name: cottontail
image: {{ include "cottontail.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- if eq .Values.mode "sidecar" }}
# A native sidecar: it starts before the application and ends after it.
restartPolicy: Always
{{- end }}
args: [run]
# Every command finds config.toml here.
workingDir: /etc/cottontail
{{- with .Values.extraEnv }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - name: {{ include "cottontail.httpPort" . }}
    containerPort: {{ .Values.ports.http }}
  - name: {{ include "cottontail.adminPort" . }}
    containerPort: {{ .Values.ports.admin }}
startupProbe:
  httpGet:
    path: /livez
    port: {{ include "cottontail.adminPort" . }}
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet:
    path: /livez
    port: {{ include "cottontail.adminPort" . }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet:
    path: /readyz
    port: {{ include "cottontail.adminPort" . }}
  periodSeconds: 3
  timeoutSeconds: 2
  failureThreshold: 2
lifecycle:
  preStop:
    exec:
      # Begins the drain when the pod begins to end: a sidecar's SIGTERM comes only after the application has stopped.
      command: [/cottontail, drain]
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
volumeMounts:
  # Whole directories: a mount with `subPath` would never see a change.
  - name: cottontail-config
    mountPath: /etc/cottontail
    readOnly: true
  {{- if include "cottontail.secretSources" . | trim }}
  - name: cottontail-secrets
    mountPath: {{ include "cottontail.secretsPath" . }}
    readOnly: true
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "cottontail.volumes" -}}
- name: cottontail-config
  configMap:
    name: {{ include "cottontail.fullname" . }}
{{- with include "cottontail.secretSources" . | trim }}
- name: cottontail-secrets
  projected:
    # 0440, read through the pod's `fsGroup`; an application's pod need not have one, hence 0444 there.
    defaultMode: {{ eq $.Values.mode "sidecar" | ternary 292 288 }}
    sources:
      {{- . | nindent 6 }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "cottontail.checksums" -}}
checksum/config: {{ include "cottontail.config" . | sha256sum }}
{{- with include "cottontail.secretData" . | trim }}
checksum/secret: {{ . | sha256sum }}
{{- end }}
{{- end -}}
