{{- define "shelfwise.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "shelfwise.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "shelfwise.labels" -}}
{{ include "shelfwise.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Of `(list . IMAGE)`, an image of the values. */}}
{{- define "shelfwise.image" -}}
{{- $chart := (index . 0).Chart -}}
{{- with index . 1 -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "shelfwise.nightImage" -}}
{{- $own := .Values.nightMetrics.image -}}
{{- $of := .Values.image -}}
{{- if or $own.repository $own.tag $own.digest -}}
{{- $of = dict "repository" ($own.repository | default $of.repository) "tag" ($own.tag | default $of.tag) "digest" $own.digest -}}
{{- end -}}
{{- include "shelfwise.image" (list . $of) -}}
{{- end -}}

{{- define "shelfwise.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "shelfwise.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "shelfwise.claim" -}}
{{- .Values.home.existingClaim | default (printf "%s-home" (include "shelfwise.fullname" .)) -}}
{{- end -}}

{{/* Nothing here may be root, write beside its volumes or talk to Kubernetes. */}}
{{- define "shelfwise.pod" -}}
serviceAccountName: {{ include "shelfwise.serviceAccountName" . }}
automountServiceAccountToken: false
# Variables for each Service of the namespace, which nothing here reads.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "shelfwise.container" -}}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
envFrom:
  - configMapRef: {name: {{ include "shelfwise.fullname" . }}}
{{- end -}}

{{/* Where a container finds the stores and who signed their certificates. */}}
{{- define "shelfwise.stores" -}}
- name: SHELFWISE_ONLINE__REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ required "set redis.existingSecret: servers and nights share an online store" .Values.redis.existingSecret }}
      key: {{ .Values.redis.key }}
{{- with .Values.redis.tls }}
{{- if ne (empty .cert) (empty .key) }}{{ fail "redis.tls.cert and redis.tls.key go together: set both or none" }}{{ end }}
{{- if .existingSecret }}
{{- if .ca }}
- {name: SHELFWISE_ONLINE__CA_FILE, value: "/run/secrets/redis/{{ .ca }}"}
{{- end }}
{{- if .cert }}
- {name: SHELFWISE_ONLINE__CERT_FILE, value: "/run/secrets/redis/{{ .cert }}"}
- {name: SHELFWISE_ONLINE__KEY_FILE, value: "/run/secrets/redis/{{ .key }}"}
{{- end }}
{{- else if .cert }}{{ fail "set redis.tls.existingSecret: it has the files of redis.tls.cert and redis.tls.key" }}
{{- end }}
{{- end }}
{{- with .Values.milvus.existingSecret }}
- name: SHELFWISE_INDEX__TOKEN
  valueFrom:
    secretKeyRef: {name: {{ . }}, key: {{ $.Values.milvus.key }}}
{{- end }}
{{- with .Values.objectStore.endpoint }}
- {name: AWS_ENDPOINT_URL, value: {{ . | quote }}}
{{- end }}
{{- with .Values.objectStore.region }}
- {name: AWS_DEFAULT_REGION, value: {{ . | quote }}}
{{- end }}
{{- if .Values.trust.existingSecret }}
{{- range list "AWS_CA_BUNDLE" "SSL_CERT_FILE" "REQUESTS_CA_BUNDLE" "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH" }}
- {name: {{ . }}, value: "/run/secrets/trust/{{ $.Values.trust.key }}"}
{{- end }}
{{- end }}
{{- end -}}
