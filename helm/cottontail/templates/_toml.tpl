{{/* YAML to TOML. Helm's own `toToml` writes every number as a float, which no setting of ours is. */}}

{{- define "cottontail.toml.value" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) -}}
{{- printf "%.0f" . -}}
{{- else if kindIs "slice" . -}}
[
{{- range $index, $value := . -}}
{{- if $index }}, {{ end -}}
{{- include "cottontail.toml.value" $value -}}
{{- end -}}
]
{{- else -}}
{{- /* A JSON string is a TOML basic string; numbers and booleans are written alike. */ -}}
{{- toJson . -}}
{{- end -}}
{{- end -}}

{{- define "cottontail.toml.key" -}}
{{- regexMatch "^[A-Za-z0-9_-]+$" . | ternary . (toJson .) -}}
{{- end -}}

{{/* `table` under the name `path`: values first, since they belong to the last header above them. */}}
{{- define "cottontail.toml.table" -}}
{{- $path := .path -}}
{{- $tables := dict -}}
{{- range $key, $value := .table }}
{{- if kindIs "map" $value }}
{{- $_ := set $tables $key $value -}}
{{- else if and (kindIs "slice" $value) $value (kindIs "map" (first $value)) }}
{{- $_ := set $tables $key $value -}}
{{- else if not (kindIs "invalid" $value) }}
{{ include "cottontail.toml.key" $key }} = {{ include "cottontail.toml.value" $value }}
{{- end }}
{{- end }}
{{- range $key, $value := $tables }}
{{- $name := include "cottontail.toml.key" $key -}}
{{- if $path }}{{ $name = printf "%s.%s" $path $name }}{{ end }}
{{- if kindIs "map" $value }}

[{{ $name }}]
{{- include "cottontail.toml.table" (dict "path" $name "table" $value) }}
{{- else }}
{{- range $entry := $value }}

[[{{ $name }}]]
{{- include "cottontail.toml.table" (dict "path" $name "table" $entry) }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
