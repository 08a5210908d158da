{{- define "weir.fullname" -}}
{{- if contains "weir" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-weir" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- /* Takes [root, component]. */ -}}
{{- define "weir.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: weir
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "weir.labels" -}}
{{- $root := index . 0 -}}
{{ include "weir.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end }}

{{- /* Takes [root, image values]. */ -}}
{{- define "weir.image" -}}
{{- $root := index . 0 -}}{{- $image := index . 1 -}}
{{- if $image.digest }}{{ $image.repository }}@{{ $image.digest }}{{ else }}{{ $image.repository }}:{{ $image.tag | default $root.Chart.AppVersion }}{{ end }}
{{- end }}

{{- /* The processes that run: what each is, and its values over the defaults. */ -}}
{{- define "weir.processes" -}}
{{- $processes := dict -}}
{{- range $name, $facts := .Files.Get "files/processes.yaml" | fromYaml -}}
{{- $values := mustMergeOverwrite (deepCopy $.Values.defaults) (deepCopy (index $.Values $name)) -}}
{{- if $values.enabled -}}
{{- $_ := set $processes $name (dict "name" $name "facts" $facts "values" $values) -}}
{{- end -}}
{{- end -}}
{{- toYaml $processes -}}
{{- end }}

{{- /* Takes the user's number in the image. */ -}}
{{- define "weir.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "weir.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- /* Whether a process does, or (nil) a job. */ -}}
{{- define "weir.asksClickHouse" -}}
{{- if . }}{{ if .facts.clickhouse }}yes{{ end }}{{ else }}yes{{ end -}}
{{- end }}

{{- /* The authorities that are mounted: kafka, clickhouse. Takes [root, process or nil]. */ -}}
{{- define "weir.authorities" -}}
{{- $root := index . 0 -}}{{- $process := index . 1 -}}
{{- range $server := list "kafka" "clickhouse" -}}
{{- $ca := (index $root.Values $server).ca -}}
{{- if and (or $ca.configMap.name $ca.secret.name) (or (eq $server "kafka") (include "weir.asksClickHouse" $process)) }}
{{ $server }}: {{ toJson $ca }}
{{- end -}}
{{- end -}}
{{- end }}

{{- /* The settings that every process has from the chart, and those that the values add. Takes
[root, process or nil]; what is nearer to the process wins. */ -}}
{{- define "weir.settings" -}}
{{- $root := index . 0 -}}{{- $process := index . 1 -}}
{{- $v := $root.Values -}}
{{- $settings := dict
    "KAFKA_BOOTSTRAP_SERVERS" $v.kafka.bootstrapServers
    "KAFKA_SECURITY_PROTOCOL" $v.kafka.securityProtocol
    "WEIR_TOPIC_REPLICATION" $v.kafka.replication
    "WEIR_EVENT_PARTITIONS" $v.kafka.partitions.events
    "WEIR_USER_PARTITIONS" $v.kafka.partitions.users -}}
{{- with $v.kafka.topicPrefix }}{{ $_ := set $settings "WEIR_TOPIC_PREFIX" . }}{{ end -}}
{{- if hasPrefix "SASL_" $v.kafka.securityProtocol -}}
{{- $_ := set $settings "KAFKA_SASL_MECHANISM" $v.kafka.saslMechanism -}}
{{- $_ := set $settings "KAFKA_SASL_USERNAME" $v.kafka.saslUsername -}}
{{- end -}}
{{- if or $v.kafka.ca.configMap.name $v.kafka.ca.secret.name }}{{ $_ := set $settings "KAFKA_SSL_CA_FILE" "/etc/weir/kafka-ca/ca.pem" }}{{ end -}}
{{- if $v.kafka.clientCertificate.secretName -}}
{{- $_ := set $settings "KAFKA_SSL_CERTIFICATE_FILE" "/etc/weir/kafka-client/tls.crt" -}}
{{- $_ := set $settings "KAFKA_SSL_KEY_FILE" "/etc/weir/kafka-client/tls.key" -}}
{{- end -}}
{{- if include "weir.asksClickHouse" $process -}}
{{- with $v.clickhouse.url }}{{ $_ := set $settings "CLICKHOUSE_URL" . }}{{ end -}}
{{- if or $v.clickhouse.ca.configMap.name $v.clickhouse.ca.secret.name }}{{ $_ := set $settings "CLICKHOUSE_CA_FILE" "/etc/weir/clickhouse-ca/ca.pem" }}{{ end -}}
{{- with $v.clickhouse.cluster }}{{ $_ := set $settings "WEIR_CLICKHOUSE_CLUSTER" . }}{{ end -}}
{{- end -}}
{{- if include "weir.secretItems" . }}{{ $_ := set $settings "WEIR_SECRETS_DIR" "/run/secrets/weir" }}{{ end -}}
{{- if $process -}}
{{- $facts := $process.facts -}}
{{- $_ := set $settings $facts.listens.host "0.0.0.0" -}}
{{- $_ := set $settings $facts.listens.port $facts.port -}}
{{- with $facts.metrics -}}
{{- $_ := set $settings .host "0.0.0.0" -}}
{{- $_ := set $settings .port $facts.metricsPort -}}
{{- end -}}
{{- if $facts.data }}{{ $_ := set $settings "WEIR_DATA_DIR" "/data" }}{{ end -}}
{{- if eq $process.name "api" -}}
{{- $_ := set $settings "WEIR_AUTH" "required" -}}
{{- /* Only the pages reach it, and they say whose request it is. */ -}}
{{- if and $v.pages.enabled $v.networkPolicy.enabled }}{{ $_ := set $settings "FORWARDED_ALLOW_IPS" "*" }}{{ end -}}
{{- end -}}
{{- $settings = mustMergeOverwrite $settings (deepCopy $v.settings) (deepCopy $process.values.settings) -}}
{{- else -}}
{{- $settings = mustMergeOverwrite $settings (deepCopy $v.settings) -}}
{{- end -}}
{{- toYaml $settings -}}
{{- end }}

{{- /* As a container's `env`. Takes [root, process or nil]. */ -}}
{{- define "weir.env" -}}
{{- range $name, $value := include "weir.settings" . | fromYaml }}
- name: {{ $name }}
  {{- /* Numbers as they were written: YAML's floats would make 1e+06 of a million. */}}
  value: {{ if kindIs "float64" $value }}{{ if eq (floor $value) $value }}{{ int64 $value | quote }}{{ else }}{{ $value | quote }}{{ end }}{{ else }}{{ $value | quote }}{{ end }}
{{- end }}
{{- $root := index . 0 -}}{{- $process := index . 1 }}
{{- with $root.Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- if $process }}{{- with $process.values.extraEnv }}
{{ toYaml . }}
{{- end }}{{- end }}
{{- end }}

{{- /* The secrets that a process reads, as sources of a projected volume; a job those of the servers. */ -}}
{{- define "weir.secretItems" -}}
{{- $root := index . 0 -}}{{- $process := index . 1 -}}
{{- $read := list "KAFKA_SASL_PASSWORD" "CLICKHOUSE_URL" "CLICKHOUSE_PASSWORD" -}}
{{- if $process }}{{ $read = $process.facts.secrets }}{{ end -}}
{{- range $setting, $from := $root.Values.secrets -}}
{{- if has $setting $read }}
- secret:
    name: {{ $from.name }}
    items: [{key: {{ $from.key | quote }}, path: {{ $setting }}}]
{{- end -}}
{{- end -}}
{{- end }}

{{- /* Takes [root, process or nil]. */ -}}
{{- define "weir.volumeMounts" -}}
{{- $root := index . 0 -}}
- {name: tmp, mountPath: /tmp}
- {name: data, mountPath: /data}
{{- if include "weir.secretItems" . }}
- {name: secrets, mountPath: /run/secrets/weir, readOnly: true}
{{- end }}
{{- range $server, $ca := include "weir.authorities" . | fromYaml }}
- {name: {{ $server }}-ca, mountPath: /etc/weir/{{ $server }}-ca, readOnly: true}
{{- end }}
{{- if $root.Values.kafka.clientCertificate.secretName }}
- {name: kafka-client, mountPath: /etc/weir/kafka-client, readOnly: true}
{{- end }}
{{- with $root.Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- if index . 1 }}{{- with (index . 1).values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}{{- end }}
{{- end }}

{{- /* All but the data. Takes [root, process or nil]. */ -}}
{{- define "weir.volumes" -}}
{{- $root := index . 0 -}}
- name: tmp
  emptyDir: {sizeLimit: 1Gi}
{{- with include "weir.secretItems" . }}
- name: secrets
  projected:
    defaultMode: 0440
    sources: {{- . | indent 6 }}
{{- end }}
{{- range $server, $ca := include "weir.authorities" . | fromYaml }}
- name: {{ $server }}-ca
  {{- if $ca.configMap.name }}
  configMap:
    name: {{ $ca.configMap.name }}
    items: [{key: {{ $ca.configMap.key | quote }}, path: ca.pem}]
  {{- else }}
  secret:
    secretName: {{ $ca.secret.name }}
    items: [{key: {{ $ca.secret.key | quote }}, path: ca.pem}]
  {{- end }}
{{- end }}
{{- with $root.Values.kafka.clientCertificate }}
{{- if .secretName }}
- name: kafka-client
  secret:
    secretName: {{ .secretName }}
    defaultMode: 0440
    items:
      - {key: {{ .certificateKey | quote }}, path: tls.crt}
      - {key: {{ .keyKey | quote }}, path: tls.key}
{{- end }}
{{- end }}
{{- with $root.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- if index . 1 }}{{- with (index . 1).values.extraVolumes }}
{{ toYaml . }}
{{- end }}{{- end }}
{{- end }}

{{- /* The port in an address. Takes [address, that of http, that of https], which hold where none is
written. */ -}}
{{- define "weir.port" -}}
{{- $parts := urlParse (index . 0) -}}
{{- regexFind ":[0-9]+$" $parts.host | trimPrefix ":" | default (ternary (index . 2) (index . 1) (eq $parts.scheme "https")) -}}
{{- end }}

{{- /* Takes [root, component, values]. */ -}}
{{- define "weir.placing" -}}
{{- $root := index . 0 -}}{{- $component := index . 1 -}}{{- $values := index . 2 -}}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.topologySpread }}
topologySpreadConstraints:
{{- range . }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "weir.selector" (list $root $component) | nindent 8 }}
{{- end }}
{{- end }}
{{- end }}

{{- /* What holds for every pod. Takes [root, component, the user's number]. */ -}}
{{- define "weir.pod" -}}
{{- $root := index . 0 -}}
serviceAccountName: {{ include "weir.fullname" $root }}-{{ index . 1 }}
automountServiceAccountToken: false
# Kubernetes would set WEIR_API_PORT=tcp://…, which Weir reads as its port.
enableServiceLinks: false
securityContext: {{- include "weir.podSecurityContext" (index . 2) | nindent 2 }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
