{{/* Names and labels; what is rendered with them lives elsewhere. */}}

{{- define "cottontail.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* 40 characters leave room for what objects append, and for the suffixes of a pod's name. */}}
{{- define "cottontail.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "cottontail.name" . -}}
{{- contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "cottontail.selectorLabels" -}}
app.kubernetes.io/name: {{ include "cottontail.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "cottontail.labels" -}}
{{ include "cottontail.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The labels of the pods that the container runs in. */}}
{{- define "cottontail.podSelector" -}}
{{- if eq .Values.mode "sidecar" -}}
{{- with .Values.sidecar.podLabels -}}
{{- toYaml . -}}
{{- else -}}
{{- fail "sidecar.podLabels: the labels of the application's pods are needed to select them" -}}
{{- end -}}
{{- else -}}
{{- include "cottontail.selectorLabels" . -}}
{{- end -}}
{{- end -}}

{{- define "cottontail.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "cottontail.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "cottontail.image" -}}
{{- $image := .Values.image -}}
{{- $repository := required "image.repository: where did you push the image to?" $image.repository -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* An application has a port `http` already; names of ports are unique in a pod. */}}
{{- define "cottontail.httpPort" -}}{{ eq .Values.mode "sidecar" | ternary "sse-http" "http" }}{{- end -}}
{{- define "cottontail.adminPort" -}}{{ eq .Values.mode "sidecar" | ternary "sse-admin" "admin" }}{{- end -}}

{{/* "yes" when there can be more than one pod at rest. */}}
{{- define "cottontail.replicated" -}}
{{- $least := .Values.autoscaling.enabled | ternary .Values.autoscaling.minReplicas .Values.replicaCount -}}
{{- if gt (int $least) 1 -}}yes{{- end -}}
{{- end -}}
