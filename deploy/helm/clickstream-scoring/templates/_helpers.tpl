{{- define "clickstream.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "clickstream.selector" -}}
app.kubernetes.io/name: clickstream-scoring
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "clickstream.labels" -}}
{{ include "clickstream.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end -}}

{{- define "clickstream.image" -}}
{{- $image := .Values.image -}}
{{- required "image.repository: name the image of the target `consumer` in your registry" $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default .Chart.AppVersion }}{{ end -}}
{{- end -}}

{{/* Settings that are secrets; a test holds them to the program's own. The URL of Redis is one by its password alone. */}}
{{- define "clickstream.secrets" -}}
[bundle_key, dashboard_proxy_secret, kafka_key_password, kafka_password, lookup_token, redis_password, redis_sentinel_password]
{{- end -}}

{{/* What may come as a file: each setting that has a <name>_file. Held to the program's own likewise. */}}
{{- define "clickstream.files" -}}
- bundle_key
- dashboard_proxy_secret
- kafka_ca
- kafka_certificate
- kafka_key
- kafka_key_password
- kafka_password
- lookup_certificate
- lookup_key
- lookup_token
- redis_ca
- redis_certificate
- redis_key
- redis_password
- redis_sentinel_password
{{- end -}}

{{- define "clickstream.filesExist" -}}
{{- $files := include "clickstream.files" . | fromYamlArray -}}
{{- range .Values.secret.files }}
{{- if not (has . $files) }}
{{- fail (printf "secret.files: %s is no setting that is read from a file; there are %s" . (join ", " $files)) }}
{{- end }}
{{- end }}
{{- if and .Values.secret.files (not .Values.secret.name) }}
{{- fail "secret.name: name the Secret whose entries secret.files are" }}
{{- end }}
{{- end -}}

{{/* Values are kept by Helm, and an environment is shown by whatever shows a pod. */}}
{{- define "clickstream.noSecretInValues" -}}
{{- $secrets := include "clickstream.secrets" . | fromYamlArray -}}
{{- range $name := keys .Values.settings | sortAlpha }}
{{- if eq (lower $name) "dashboard_proxy_secret" }}
{{- fail (printf "settings.%s is a secret, and of the dashboard, which this chart does not run: leave it out" $name) }}
{{- else if has (lower $name) $secrets }}
{{- fail (printf "settings.%s is a secret: put it into the Secret secret.name as the entry %s, and name that in secret.files" $name (lower $name)) }}
{{- end }}
{{- if and (eq (lower $name) "redis_url") (regexMatch "://[^@]*:[^@]+@|[?&]password=" (get $.Values.settings $name | toString)) }}
{{- fail (printf "settings.%s holds a password: leave it out of the URL; it is the entry redis_password of secret.files" $name) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What every pod of ours is told: settings by their names, secrets as files. */}}
{{- define "clickstream.env" -}}
{{- $_ := required "settings.kafka_bootstrap: host:port of the brokers" .Values.settings.kafka_bootstrap -}}
{{- $_ := required "settings.redis_url: redis://host:port/db; its password is a file, redis_password" .Values.settings.redis_url -}}
{{- include "clickstream.noSecretInValues" . -}}
{{- include "clickstream.filesExist" . -}}
{{- range $name, $value := .Values.settings }}
- name: CLICKSTREAM_{{ upper $name }}
  value: {{ if kindIs "float64" $value }}{{ int64 $value | quote }}{{ else }}{{ $value | quote }}{{ end }}
{{- end }}
{{- range .Values.secret.files }}
- name: CLICKSTREAM_{{ upper . }}_FILE
  value: /run/secrets/clickstream/{{ . }}
{{- end }}
- name: CLICKSTREAM_LOG_FORMAT
  value: json
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What the look-up speaks: with a certificate of its own, TLS. */}}
{{- define "clickstream.lookupScheme" -}}
{{- if has "lookup_certificate" .Values.secret.files }}HTTPS{{ else }}HTTP{{ end -}}
{{- end -}}

{{- define "clickstream.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "clickstream.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "clickstream.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if .Values.settings.bundle_store }}
- {name: home, mountPath: /var/lib/clickstream}
{{- end }}
{{- if .Values.secret.name }}
- {name: secret, mountPath: /run/secrets/clickstream, readOnly: true}
{{- end }}
{{- end -}}

{{/* Without a store of bundles the image brings one, and nothing may hide it. */}}
{{- define "clickstream.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 256Mi}
{{- if .Values.settings.bundle_store }}
- name: home
  emptyDir: {sizeLimit: 2Gi}
{{- end }}
{{- if .Values.secret.name }}
- name: secret
  secret:
    secretName: {{ .Values.secret.name }}
    defaultMode: 0440
{{- end }}
{{- end -}}
