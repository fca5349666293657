{{/* config.toml and where its secrets are: what the chart decides is laid over what the values say. */}}

{{- define "cottontail.secretsPath" -}}/run/secrets/cottontail{{- end -}}

{{/* Faults that the schema cannot see. */}}
{{- define "cottontail.validate" -}}
{{- $config := .Values.config -}}
{{- if hasKey (default dict $config.broker) "urls" -}}
{{- fail "config.broker.urls would end in a ConfigMap: use broker.existingSecret, or broker.urls for a first try" -}}
{{- end -}}
{{- if hasKey (default dict $config.auth) "issuer" -}}
{{- fail "config.auth.issuer would end in a ConfigMap: use issuers" -}}
{{- end -}}
{{- range $section := list "server" "admin" -}}
{{- if hasKey (default dict (get $config $section)) "listen" -}}
{{- fail (printf "config.%s.listen: use ports" $section) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.broker.urls .Values.broker.existingSecret -}}
{{- fail "broker.urls and broker.existingSecret: one of them" -}}
{{- end -}}
{{- if and .Values.broker.ca.existingSecret .Values.broker.ca.existingConfigMap -}}
{{- fail "broker.ca: existingSecret or existingConfigMap" -}}
{{- end -}}
{{- end -}}

{{/* Key material of an issuer by the key of config.toml that names its file. */}}
{{- define "cottontail.issuerSources" -}}
secretFrom: secret_file
publicKeyFrom: public_key_file
jwksFrom: jwks_file
{{- end -}}

{{- define "cottontail.issuers" -}}
{{- $sources := include "cottontail.issuerSources" . | fromYaml -}}
{{- $directory := include "cottontail.secretsPath" . -}}
{{- $issuers := list -}}
{{- range $index, $issuer := .Values.issuers -}}
{{- $table := omit $issuer "secret" "secretFrom" "publicKeyFrom" "jwksFrom" -}}
{{- $file := printf "%s/issuer-%d" $directory $index -}}
{{- if $issuer.secret -}}{{- $_ := set $table "secret_file" $file -}}{{- end -}}
{{- range $source, $key := $sources -}}
{{- if get $issuer $source -}}{{- $_ := set $table $key $file -}}{{- end -}}
{{- end -}}
{{- $issuers = append $issuers $table -}}
{{- end -}}
{{- toYaml $issuers -}}
{{- end -}}

{{/* config.toml. */}}
{{- define "cottontail.config" -}}
{{- include "cottontail.validate" . -}}
{{- $directory := include "cottontail.secretsPath" . -}}
{{- $broker := dict -}}
{{- if or .Values.broker.urls .Values.broker.existingSecret -}}
{{- $_ := set $broker "urls_file" (printf "%s/amqp-urls" $directory) -}}
{{- end -}}
{{- if or .Values.broker.ca.existingSecret .Values.broker.ca.existingConfigMap -}}
{{- $_ := set $broker "ca_file" (printf "%s/amqp-ca.pem" $directory) -}}
{{- end -}}
{{- $upstream := dict -}}
{{- if and (eq .Values.mode "sidecar") .Values.sidecar.applicationPort -}}
{{- $_ := set $upstream "url" (printf "http://127.0.0.1:%d" (int .Values.sidecar.applicationPort)) -}}
{{- end -}}
{{- $auth := dict -}}
{{- if .Values.issuers -}}
{{- $_ := set $auth "issuer" (include "cottontail.issuers" . | fromYamlArray) -}}
{{- end -}}
{{- $server := dict "listen" (printf "0.0.0.0:%d" (int .Values.ports.http)) -}}
{{- if .Values.tls.existingSecret -}}
{{- $files := dict "certificate_file" (printf "%s/tls.crt" $directory) "key_file" (printf "%s/tls.key" $directory) -}}
{{- $_ := set $server "tls" $files -}}
{{- end -}}
{{- $ours := dict
  "server" $server
  "admin" (dict "listen" (printf "0.0.0.0:%d" (int .Values.ports.admin)))
  "broker" $broker "upstream" $upstream "auth" $auth -}}
{{- $config := mergeOverwrite (deepCopy .Values.config) $ours -}}
{{- range $section, $table := $config -}}
{{- if not $table -}}{{- $config = omit $config $section -}}{{- end -}}
{{- end -}}
{{- include "cottontail.toml.table" (dict "path" "" "table" $config) | trim -}}
{{- end -}}

{{/* What the chart's own Secret holds; nothing where every secret exists already. */}}
{{- define "cottontail.secretData" -}}
{{- if .Values.broker.urls }}
amqp-urls: {{ join "\n" .Values.broker.urls | quote }}
{{- end }}
{{- range $index, $issuer := .Values.issuers }}
{{- if $issuer.secret }}
issuer-{{ $index }}: {{ $issuer.secret | toString | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* One projected source: `{secret|configMap: name, key}` under a file name. */}}
{{- define "cottontail.projected" -}}
{{- $from := .from -}}
{{- if not (or $from.secret $from.configMap) -}}
{{- fail (printf "%s: `secret` or `configMap` names where it is" .name) -}}
{{- end -}}
- {{ empty $from.secret | ternary "configMap" "secret" }}:
    name: {{ $from.secret | default $from.configMap }}
    items:
      - key: {{ required (printf "%s: `key` is missing" .name) $from.key }}
        path: {{ .path }}
{{- end -}}

{{/* Everything under `cottontail.secretsPath`, from our Secret and from existing ones. */}}
{{- define "cottontail.secretSources" -}}
{{- if include "cottontail.secretData" . | trim }}
- secret:
    name: {{ include "cottontail.fullname" . }}
{{- end }}
{{- with .Values.tls.existingSecret }}
{{ include "cottontail.projected" (dict "name" "tls" "path" "tls.crt" "from" (dict "secret" . "key" "tls.crt")) }}
{{ include "cottontail.projected" (dict "name" "tls" "path" "tls.key" "from" (dict "secret" . "key" "tls.key")) }}
{{- end }}
{{- with .Values.broker.existingSecret }}
{{ include "cottontail.projected" (dict "name" "broker" "path" "amqp-urls" "from" (dict "secret" . "key" $.Values.broker.existingSecretKey)) }}
{{- end }}
{{- with .Values.broker.ca }}
{{- if or .existingSecret .existingConfigMap }}
{{ include "cottontail.projected" (dict "name" "broker.ca" "path" "amqp-ca.pem" "from" (dict "secret" .existingSecret "configMap" .existingConfigMap "key" .key)) }}
{{- end }}
{{- end }}
{{- range $index, $issuer := .Values.issuers }}
{{- range $source := list "secretFrom" "publicKeyFrom" "jwksFrom" }}
{{- with get $issuer $source }}
{{ include "cottontail.projected" (dict "name" (printf "issuers[%d].%s" $index $source) "path" (printf "issuer-%d" $index) "from" .) }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A duration of config.toml in whole seconds; parts below a second are left out. */}}
{{- define "cottontail.seconds" -}}
{{- $sum := 0 -}}
{{- range regexFindAll "[0-9]+ *[a-z]+" . -1 -}}
{{- $number := regexFind "^[0-9]+" . | int -}}
{{- $unit := regexFind "[a-z]+$" . -}}
{{- if hasPrefix "h" $unit -}}{{- $sum = add $sum (mul $number 3600) -}}
{{- else if hasPrefix "s" $unit -}}{{- $sum = add $sum $number -}}
{{- else if or (eq $unit "m") (hasPrefix "min" $unit) -}}{{- $sum = add $sum (mul $number 60) -}}
{{- end -}}
{{- end -}}
{{- $sum -}}
{{- end -}}

{{/* preStop takes at most the delay and the window of the drain, and `server.grace` begins at the SIGTERM after it. */}}
{{- define "cottontail.terminationGracePeriodSeconds" -}}
{{- $server := default dict .Values.config.server -}}
{{- $grace := include "cottontail.seconds" (default "25s" $server.grace) | int -}}
{{- $delay := include "cottontail.seconds" (default "3s" $server.drain_delay) | int -}}
{{- $window := include "cottontail.seconds" (default "10s" $server.drain_window) | int -}}
{{- $given := .Values.terminationGracePeriodSeconds -}}
{{- if not $given -}}
{{- add $grace $delay $window 5 -}}
{{- else if gt (int $given) $grace -}}
{{- int $given -}}
{{- else -}}
{{- fail (printf "terminationGracePeriodSeconds: %d is not longer than server.grace, %d s" (int $given) $grace) -}}
{{- end -}}
{{- end -}}
