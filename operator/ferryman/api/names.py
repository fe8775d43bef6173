"""Names that other software sees: API group, labels, annotations, ports, field managers."""

from typing import Final

GROUP: Final = "serving.ferryman.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

#: Field managers of server-side apply: each writer owns only what it states.
FIELD_MANAGER: Final = "ferryman"
AGENT_FIELD_MANAGER: Final = "ferryman-agent"
BENCHMARK_FIELD_MANAGER: Final = "ferryman-benchmark"

#: Labels.
LABEL_NAME: Final = "app.kubernetes.io/name"
LABEL_COMPONENT: Final = "app.kubernetes.io/component"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGED_BY: Final = "ferryman"
LABEL_MODEL: Final = f"{GROUP}/model"
LABEL_PIPELINE: Final = f"{GROUP}/pipeline"
LABEL_NODE_TYPE: Final = f"{GROUP}/node-type"
LABEL_BENCHMARK: Final = f"{GROUP}/benchmark"
#: On a Node: its price per hour, in any currency.
LABEL_PRICE: Final = f"{GROUP}/price-per-hour"

#: On every Node, by its kubelet: what Ferryman's images run on.
LABEL_OS: Final = "kubernetes.io/os"
OS: Final = "linux"
#: Likewise: what pods are spread over.
LABEL_HOSTNAME: Final = "kubernetes.io/hostname"

#: Annotations.
ANNOTATION_BENCHMARK_REQUESTED: Final = f"{GROUP}/benchmark-requested"
#: On a serving pod: the live cap, in place of the bound that the pod was started with.
ANNOTATION_MAX_BATCH_SIZE: Final = f"{GROUP}/max-batch-size"

#: On the pod template: names the control key without telling it. Another one rolls the pods.
ANNOTATION_CONTROL_KEY: Final = f"{GROUP}/control-key"

#: What benchmark pods run as; it comes with the installation.
SERVICE_ACCOUNT_BENCHMARK: Final = "ferryman-benchmark"

#: Containers and volumes of a serving pod.
CONTAINER_TRITON: Final = "triton"
CONTAINER_LAYOUT: Final = "layout"
CONTAINER_FETCH: Final = "fetch"
PATH_MODEL: Final = "/model"
PATH_CONFIG: Final = "/config"
#: Of the fetching container alone: Secrets and authorities.
PATH_FETCH: Final = "/run/ferryman/fetch"
PATH_REPOSITORY: Final = "/models"
CONFIG_FILE: Final = "config.pbtxt"

#: The live cap in a serving pod (docs/live-cap.md): the library as Triton finds it in the model's
#: folder, where its bound is read from, and the parameters of Triton's model configuration.
CONTAINER_LIVE_CAP: Final = "live-cap"
STRATEGY_LIBRARY: Final = "batchstrategy.so"
VOLUME_LIVE_CAP: Final = "live-cap"
PATH_LIVE_CAP: Final = "/live-cap"
LIVE_CAP_FILE: Final = f"{PATH_LIVE_CAP}/max-batch-size"
PARAMETER_STRATEGY: Final = "TRITON_BATCH_STRATEGY_PATH"
PARAMETER_LIVE_CAP_FILE: Final = "FERRYMAN_LIVE_CAP_FILE"
PARAMETER_LIVE_CAP_START: Final = "FERRYMAN_LIVE_CAP_START"

#: The drain in a serving pod (docs/ending-pods.md): the volume of its library, where it is not in
#: Triton's own image, and of the flag that says that the pod ends.
CONTAINER_DRAIN: Final = "drain"
DRAIN_LIBRARY: Final = "drain.so"
VOLUME_DRAIN: Final = "drain"
PATH_DRAIN: Final = "/drain"
DRAIN_FLAG: Final = f"{PATH_DRAIN}/ending"
DRAIN_FILE_ENV: Final = "FERRYMAN_DRAIN_FILE"
DRAIN_WINDOW_ENV: Final = "FERRYMAN_DRAIN_WINDOW_MS"

#: Triton's ports: HTTP and gRPC for clients, metrics for scrapers.
PORT_HTTP: Final = 8000
PORT_GRPC: Final = 8001
PORT_METRICS: Final = 8002

#: The restricted-protocol header that carries the control key (Triton prefixes gRPC metadata).
CONTROL_KEY_NAME: Final = "ferryman-control-key"
CONTROL_KEY_ENV: Final = "FERRYMAN_CONTROL_KEY"

#: Triton's APIs that answer only with the control key. Inference, health, metadata and
#: statistics stay open: they are the clients' own, and read-only.
RESTRICTED_APIS: Final = "model-repository,model-config,shared-memory,trace,logging"
