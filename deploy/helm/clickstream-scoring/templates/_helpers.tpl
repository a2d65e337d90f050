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

{{/* Not empty where a URL holds a password. */}}
{{- define "clickstream.password" -}}
{{- regexFind "://[^@]*:[^@]+@|[?&]password=" (toString .) -}}
{{- end -}}

{{- define "clickstream.filesExist" -}}
{{- $files := include "clickstream.files" . | fromYamlArray -}}
{{- range $path, $secret := dict "secret" .root.Values.secret (printf "%s.secret" .component) .own.secret }}
{{- range $secret.files }}
{{- if not (has . $files) }}
{{- fail (printf "%s.files: %s is no setting that is read from a file; there are %s" $path . (join ", " $files)) }}
{{- end }}
{{- end }}
{{- if and $secret.files (not $secret.name) }}
{{- fail (printf "%s.name: name the Secret whose entries %s.files are" $path $path) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Values are kept by Helm, and an environment is shown by whatever shows a pod. */}}
{{- define "clickstream.settingsAllowed" -}}
{{- $secrets := include "clickstream.secrets" . | fromYamlArray -}}
{{- range $path, $settings := dict "settings" .root.Values.settings (printf "%s.settings" .component) .own.settings }}
{{- range $name := keys $settings | sortAlpha }}
{{- if eq (lower $name) "dashboard_proxy_secret" }}
{{- fail (printf "%s.%s is a secret, and of the dashboard, which this chart does not run: leave it out" $path $name) }}
{{- else if has (lower $name) $secrets }}
{{- fail (printf "%s.%s is a secret: put it into the Secret secret.name as the entry %s, and name that in secret.files" $path $name (lower $name)) }}
{{- end }}
{{- if has (lower $name) (list "instance" "metrics_host" "metrics_port") }}
{{- fail (printf "%s.%s is the chart's own to set: leave it out" $path $name) }}
{{- end }}
{{- if and (eq (lower $name) "redis_url") (include "clickstream.password" (get $settings $name)) }}
{{- fail (printf "%s.%s holds a password: leave it out of the URL; it is the entry redis_password of secret.files" $path $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "clickstream.noSecretInEnv" -}}
{{- $secrets := include "clickstream.secrets" . | fromYamlArray -}}
{{- range .root.Values.env }}
{{- if .value }}
{{- $setting := .name | lower | trimPrefix "clickstream_" }}
{{- if and (ne $setting (lower .name)) (or (has $setting $secrets) (and (eq $setting "redis_url") (include "clickstream.password" .value))) }}
{{- fail (printf "env: %s is a secret, and would be kept and shown as it stands: leave it out; what is secret of it is an entry of the Secret, named in secret.files" .name) }}
{{- end }}
{{- if has .name (list "AWS_SECRET_ACCESS_KEY" "AWS_SESSION_TOKEN") }}
{{- fail (printf "env: %s is a secret, and would be kept and shown as it stands: put a credentials file into the Secret, and name it in AWS_SHARED_CREDENTIALS_FILE, or use valueFrom" .name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A pod would end with 78 over it. */}}
{{- define "clickstream.pairs" -}}
{{- range $server := list "kafka" "redis" "lookup" }}
{{- range $one, $other := dict "certificate" "key" "key" "certificate" }}
{{- $has := printf "%s_%s" $server $one }}
{{- $lacks := printf "%s_%s" $server $other }}
{{- if and (has $has $.secret.files) (not (has $lacks $.secret.files)) (not (hasKey $.settings (printf "%s_file" $lacks))) }}
{{- fail (printf "secret.files: %s without %s; they belong together, name both" $has $lacks) }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What a component is given, checked: the settings of all with its own over them, and a Secret, its own or that of all. */}}
{{- define "clickstream.given" -}}
{{- $own := get .root.Values .component -}}
{{- $checked := dict "root" .root "component" .component "own" $own -}}
{{- include "clickstream.settingsAllowed" $checked -}}
{{- include "clickstream.filesExist" $checked -}}
{{- include "clickstream.noSecretInEnv" . -}}
{{- $settings := dict "log_format" "json" -}}
{{- range list .root.Values.settings $own.settings }}
{{- range $name, $value := . }}
{{- $_ := set $settings (lower $name) $value }}
{{- end }}
{{- end -}}
{{- $shopFile := and (ne .root.Values.shopFile "") (has .component (list "consumer" "lookup")) -}}
{{- if $shopFile -}}
{{- if $settings.shop -}}
{{- fail "settings.shop and shopFile are two shops: leave one out" -}}
{{- end -}}
{{- $_ := set $settings "shop" "/etc/clickstream/shop.toml" -}}
{{- end -}}
{{- $_ := required "settings.kafka_bootstrap: host:port of the brokers" $settings.kafka_bootstrap -}}
{{- if has .component (list "consumer" "lookup") -}}
{{- $_ := required "settings.redis_url: redis://host:port/db; its password is a file, redis_password" $settings.redis_url -}}
{{- end -}}
{{- $secret := empty $own.secret.name | ternary .root.Values.secret $own.secret -}}
{{- include "clickstream.pairs" (dict "settings" $settings "secret" $secret) -}}
{{- dict "settings" $settings "secret" $secret "shopFile" $shopFile | toJson -}}
{{- end -}}

{{/* What a pod is told: settings by their names, secrets as files. */}}
{{- define "clickstream.env" -}}
{{- $given := include "clickstream.given" . | fromJson -}}
{{- range $name, $value := $given.settings }}
- name: CLICKSTREAM_{{ upper $name }}
  value: {{ if kindIs "float64" $value }}{{ int64 $value | quote }}{{ else }}{{ $value | quote }}{{ end }}
{{- end }}
{{- range $given.secret.files }}
- name: CLICKSTREAM_{{ upper . }}_FILE
  value: /run/secrets/clickstream/{{ . }}
{{- end }}
{{- with .root.Values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The port of each host that a URL or a list of hosts names. */}}
{{- define "clickstream.ports" -}}
{{- range regexReplaceAll "^([a-z]+://)?([^@/]*@)?([^/?]*).*$" (toString .named) "${3}" | splitList "," }}
- {{ regexFind ":[0-9]+$" . | trimPrefix ":" | default $.default }}
{{- end }}
{{- end -}}

{{/* What the look-up speaks: with a certificate of its own, TLS. */}}
{{- define "clickstream.lookupScheme" -}}
{{- $given := include "clickstream.given" (dict "root" . "component" "lookup") | fromJson -}}
{{- if has "lookup_certificate" $given.secret.files }}HTTPS{{ else }}HTTP{{ end -}}
{{- end -}}

{{/* A process reads its shop once: another file has to start it anew. */}}
{{- define "clickstream.shopMark" -}}
{{- with .Values.shopFile }}
annotations: {clickstream/shop: {{ sha256sum . | quote }}}
{{- end }}
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
{{- $given := include "clickstream.given" . | fromJson -}}
- {name: tmp, mountPath: /tmp}
{{- if $given.settings.bundle_store }}
- {name: home, mountPath: /var/lib/clickstream}
{{- end }}
{{- if $given.secret.name }}
- {name: secret, mountPath: /run/secrets/clickstream, readOnly: true}
{{- end }}
{{- if $given.shopFile }}
- {name: shop, mountPath: /etc/clickstream, readOnly: true}
{{- end }}
{{- end -}}

{{/* Without a store of bundles the image brings one, and nothing may hide it. */}}
{{- define "clickstream.volumes" -}}
{{- $given := include "clickstream.given" . | fromJson -}}
- name: tmp
  emptyDir: {sizeLimit: 256Mi}
{{- if $given.settings.bundle_store }}
- name: home
  emptyDir: {sizeLimit: 2Gi}
{{- end }}
{{- with $given.secret.name }}
- name: secret
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- if $given.shopFile }}
- name: shop
  configMap: {name: {{ include "clickstream.name" .root }}-shop}
{{- end }}
{{- end -}}
