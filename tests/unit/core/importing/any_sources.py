"""Sources that may be anything: half of what they say is sound, and half is not.

Each strategy gives what becomes of such a source.
"""

from hypothesis import strategies as st
from tritonclient.grpc.model_config_pb2 import ModelConfig

from ferryman.clients import pbtxt
from ferryman.core.importing.kserve import service as kserve
from ferryman.core.importing.triton import repository
from ferryman.core.importing.triton.model import StoredModel
from tests.unit.core.importing.sources import asked, service

words = st.sampled_from(
    ["a", "cpu", "memory", "nvidia.com/gpu", "In", "Exists", "NoExecute", "5", "é", "\x1b"]
)
scalars = st.none() | st.booleans() | st.integers(-3, 3000) | words | st.text(max_size=8)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
labels = st.dictionaries(st.sampled_from(["zone", "a/b", "app.kubernetes.io/x", "Ä", "x y"]), words)
toleration = st.fixed_dictionaries(
    {},
    optional={
        "key": words,
        "operator": st.sampled_from(["Exists", "Equal", "?"]),
        "value": words,
        "effect": st.sampled_from(["NoSchedule", "NoExecute"]),
        "tolerationSeconds": st.integers(-1, 9),
    },
)
requirement = st.fixed_dictionaries(
    {"key": st.sampled_from(["zone", "a/b", ""])},
    optional={
        "operator": st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]),
        "values": st.lists(words, max_size=3) | st.none(),
    },
)
required = st.lists(st.fixed_dictionaries({"matchExpressions": st.lists(requirement, max_size=20)}))
quantity = scalars | st.sampled_from(["500m", "4Gi", "1e3", ".5", "-1", "1\n", "9" * 40])
resources = st.dictionaries(
    st.sampled_from(["requests", "limits", "claims"]), st.dictionaries(words, quantity)
)
variable = st.fixed_dictionaries(
    {"name": st.sampled_from(["A", "B", "1", "FERRYMAN_X", ""])},
    optional={"value": words, "valueFrom": anything},
)
user = st.fixed_dictionaries(
    {},
    optional={
        "runAsUser": st.integers(-1, 5),
        "fsGroup": st.integers(0, 5),
        "fsGroupChangePolicy": st.sampled_from(["Always", "Never"]),
        "supplementalGroups": st.lists(st.integers(-1, 5), max_size=20),
        "runAsNonRoot": st.booleans(),
    },
)
predictor = st.fixed_dictionaries(
    {},
    optional={
        "minReplicas": st.integers(-1, 2000) | anything,
        "maxReplicas": st.integers(-1, 2000) | anything,
        "nodeSelector": labels | anything,
        "labels": labels | anything,
        "annotations": labels | anything,
        "tolerations": st.lists(toleration, max_size=20) | anything,
        "affinity": required.map(
            lambda terms: {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}
                }
            }
        )
        | anything,
        "serviceAccountName": words | anything,
        "imagePullSecrets": st.lists(st.fixed_dictionaries({"name": words})) | anything,
        "priorityClassName": anything,
        "hostUsers": anything,
        "securityContext": user | anything,
        "canaryTrafficPercent": anything,
        "unheardOf": anything,
    },
)
model = st.fixed_dictionaries(
    {},
    optional={
        "storageUri": st.sampled_from(
            [
                "gs://bucket/m",
                "hf://org/repo:main",
                "pvc://c/m",
                "file:///x",
                "https://h/f",
                "s3://a",
            ]
        )
        | anything,
        "modelFormat": st.fixed_dictionaries(
            {"name": st.sampled_from(["onnx", "triton", "pytorch", "sklearn"]) | anything}
        ),
        "env": st.lists(variable, max_size=5) | anything,
        "resources": resources | anything,
        "runtime": anything,
        "storage": anything,
    },
)
metadata = st.fixed_dictionaries(
    {},
    optional={
        "name": words,
        "namespace": words | anything,
        "labels": labels,
        "annotations": anything,
    },
)
formats = st.sampled_from(["onnx", "vllm"])
requests = st.builds(
    asked,
    storage_uri=st.sampled_from([None, "pvc://models", "oci://host/x:1", "https://host"]),
    model=st.sampled_from([None, "resnet50", "Ä"]),
    model_format=st.sampled_from([None, "onnx", "vllm"]),
)


def messages(schema, depth=4):
    """Return a strategy for what a message of Triton's says, in its JSON form."""
    fields = {
        field.name: _field(field, depth)
        for field in schema.fields
        if depth or not field.message_type
    }
    return st.fixed_dictionaries({}, optional=fields)


def _field(field, depth):
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        of = field.message_type.fields_by_name["value"]
        keys = field.message_type.fields_by_name["key"]
        named = words if keys.cpp_type == keys.CPPTYPE_STRING else st.sampled_from(["1", "2"])
        return st.dictionaries(named, _value(of, depth), max_size=2)
    one = _value(field, depth)
    return st.lists(one, max_size=3) if field.is_repeated else one


def _value(field, depth):
    if field.message_type is not None:
        return messages(field.message_type, depth - 1)
    if field.enum_type is not None:
        return st.sampled_from([value.name for value in field.enum_type.values])
    if field.cpp_type == field.CPPTYPE_BOOL:
        return st.booleans()
    if field.cpp_type in {field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE}:
        return st.floats(0, 1, width=32)
    if field.cpp_type == field.CPPTYPE_STRING:
        return st.sampled_from(["", "python", "m", "onnxruntime", "file:x", "../x", "é", "\x1b"])
    unsigned = field.cpp_type in {field.CPPTYPE_UINT32, field.CPPTYPE_UINT64}
    return st.integers(0 if unsigned else -2, 70) | st.integers(0, 2**31 - 1)


#: Fields of which a message has one.
CHOICES = (
    ("direct", "oldest"),
    ("latest", "all", "specific"),
    ("zero_data", "random_data", "input_data_file"),
    ("zero_data", "data_file"),
)


def _one_choice(value):
    """Return a message with one field of each choice, which a schema does not say."""
    if isinstance(value, list):
        return [_one_choice(each) for each in value]
    if not isinstance(value, dict):
        return value
    extra = {key for choice in CHOICES for key in [key for key in choice if key in value][1:]}
    return {key: _one_choice(inner) for key, inner in value.items() if key not in extra}


@st.composite
def ensembles(draw):
    """Return an ensemble that is sound more often than not."""
    inputs = draw(st.lists(st.sampled_from(["a", "b c", "d:0"]), min_size=1, unique=True))
    known, steps = [*inputs, *draw(st.sampled_from([[], [], [], ["gone"]]))], []
    for index in range(draw(st.integers(1, 3))):
        made = draw(st.sampled_from([f"t{index}", f"t {index}", f"t{index}", "t0"]))
        reads = [*known] if not steps else [known[-1], *draw(st.lists(st.sampled_from(known)))]
        steps.append(
            {
                "model_name": draw(st.sampled_from(["one", "One_B", "other", "other"])),
                "input_map": {f"x{at}": tensor for at, tensor in enumerate(reads)},
                "output_map": {"y.0": made},
            }
        )
        known.append(made)
    ends = draw(st.sampled_from([known[-1:], known[-1:], ["x"], known[:1]]))
    dims = draw(st.sampled_from([[-1], [3, 4], [1], []]))
    kind = {"data_type": draw(st.sampled_from(["TYPE_FP32", "TYPE_STRING"])), "dims": dims}
    return {
        "platform": "ensemble",
        "max_batch_size": draw(st.sampled_from([0, 8])),
        "input": [{"name": name, **kind} for name in inputs],
        "output": [{"name": name, **kind} for name in ends],
        "ensemble_scheduling": {"step": steps},
    }


#: One scheduler at most: they are one choice.
SCHEDULERS = ("dynamic_batching", "sequence_batching", "ensemble_scheduling")
#: Of ensembles.
MEMBERS = (
    StoredModel("one", {"backend": "python"}),
    StoredModel("One_B", {"backend": "python", "max_batch_size": 128}),
    StoredModel(
        "other", {"backend": "python", "max_batch_size": 8, "instance_group": [{"count": 9}]}
    ),
)


def _services(said, others, about, request):
    return (kserve.imported(service(said, metadata=about, **others), request),)


def _models(config, scheduler, request):
    one = {key: value for key, value in config.items() if key not in SCHEDULERS or key == scheduler}
    stated = pbtxt.stated(pbtxt.encode(_one_choice(one)))
    return repository.imported([StoredModel("m", stated)], request)


def _pipelines(config):
    return repository.imported([StoredModel("e", config), *MEMBERS], asked())


OUTCOMES = {
    "services": st.builds(_services, model, predictor, metadata, requests),
    "models": st.builds(
        _models,
        messages(ModelConfig.DESCRIPTOR),
        st.sampled_from(SCHEDULERS),
        st.builds(asked, model_format=formats),
    ),
    "pipelines": st.builds(_pipelines, ensembles()),
}
