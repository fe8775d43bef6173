import pytest

from ferryman.core.importing.kserve import service as kserve
from tests.unit.core.importing.sources import asked, left, service


def spec(found, **options):
    imported = kserve.imported(found, asked(**options))
    assert imported.refusal == ""
    return imported.manifest["spec"]


def refusal(found, **options):
    imported = kserve.imported(found, asked(**options))
    assert imported.manifest is None
    return imported.refusal


def said(found, **options):
    return left(kserve.imported(found, asked(**options)))


def test_a_plain_service_becomes_a_model_with_nothing_but_what_is_stated():
    imported = kserve.imported(service(metadata={"namespace": "vision"}), asked())

    assert imported.manifest == {
        "apiVersion": "serving.ferryman.dev/v1alpha1",
        "kind": "InferenceModel",
        "metadata": {"name": "detector", "namespace": "vision"},
        "spec": {
            "model": {"storageUri": "s3://models/detector", "modelFormat": {"name": "onnx"}},
            "runtimeRef": {"name": "triton"},
            "objectives": {"latency": {"percentile": 99, "targetMilliseconds": 50}},
        },
    }
    assert imported.left_out == ()
    assert "folder of the one model" in imported.hints[0]
    assert "fetch.secretName" in imported.hints[1]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"modelFormat": {"name": "sklearn"}}, "sklearn here: export it to ONNX"),
        ({"modelFormat": {"name": "mlserver"}}, "mlserver here: keep KServe"),
        ({"modelFormat": {"name": "triton"}}, "state --format, and with --model"),
        ({"modelFormat": {"name": "huggingface"}}, "state --format vllm"),
        ({"modelFormat": {"name": ["onnx"]}}, "modelFormat.name is missing"),
        ({"modelFormat": None}, "modelFormat.name is missing"),
    ],
)
def test_a_format_without_a_backend_is_refused_with_what_to_do(model, words):
    assert words in refusal(service(model))


def test_of_a_repository_the_folder_is_the_model_and_what_clients_ask_for():
    found = service({"modelFormat": {"name": "triton"}, "storageUri": "gs://examples/torchscript"})
    imported = kserve.imported(found, asked(model="cifar10", model_format="pytorch"))

    assert imported.manifest["metadata"]["name"] == "cifar10"
    assert imported.manifest["spec"]["model"] == {
        "storageUri": "gs://examples/torchscript/cifar10",
        "modelFormat": {"name": "pytorch"},
    }
    assert left(imported) == {"metadata.name": "it is called cifar10: clients must ask for that"}


def test_the_old_shape_of_a_predictor_is_the_same_model():
    found = service()
    found["spec"]["predictor"] = {
        "onnx": {"storageUri": "pvc://claim/path", "runtimeVersion": "1", "env": 5}
    }
    imported = kserve.imported(found, asked())

    assert imported.manifest["spec"]["model"]["modelFormat"] == {"name": "onnx"}
    assert left(imported).keys() == {
        "spec.predictor.onnx.runtimeVersion",
        "spec.predictor.onnx.env",
    }


@pytest.mark.parametrize("name", ["pytorch", "tensorflow"])
def test_files_that_triton_reads_otherwise_are_pointed_out(name):
    imported = kserve.imported(service({"modelFormat": {"name": name}}), asked())

    assert any(each.startswith(f"{name}: Triton reads") for each in imported.hints)


@pytest.mark.parametrize(
    ("uri", "is_now"),
    [
        ("hf://org/repo:0a1b", "hf://org/repo@0a1b"),
        ("hf://org/repo", "hf://org/repo"),
        ("pvc://claim", "pvc://claim"),
        ("https://host/model.tar", "https://host/model.tar"),
    ],
)
def test_where_the_files_are_stays(uri, is_now):
    assert spec(service({"storageUri": uri}))["model"]["storageUri"] == is_now


@pytest.mark.parametrize(
    "uri",
    [
        *("hdfs://namenode/x", "http://host/x", "s3://UPPER/x", 5, None),
        *("https://team.blob.core.windows.net/models/x", "https://a.file.core.windows.net/x"),
    ],
)
def test_files_that_ferryman_cannot_read_are_said_to_be_put_elsewhere(uri):
    found = service({"storageUri": uri})

    assert "state --storage-uri PREFIX" in refusal(found, storage_uri=None)
    assert spec(found)["model"]["storageUri"] == "pvc://models/repository/detector"
    assert any(path.startswith("spec.predictor.model.storage") for path in said(found))


def test_images_of_kserve_have_the_files_elsewhere():
    found = kserve.imported(service({"storageUri": "oci://host/team/model:1"}), asked())

    assert "must be at the top" in found.hints[-1]


def test_a_storage_of_kserves_own_gives_way():
    assert "spec.predictor.model.storage" in said(service({"storage": {"key": "minio"}}))


@pytest.mark.parametrize(
    ("bounds", "found", "paths"),
    [
        ({}, {}, set()),
        ({"minReplicas": 3}, {"replicas": 3}, set()),
        ({"minReplicas": 0}, {"replicas": 1}, {"minReplicas"}),
        ({"maxReplicas": 0}, {}, {"maxReplicas"}),
        ({"minReplicas": 2, "maxReplicas": 0}, {"replicas": 2}, {"maxReplicas"}),
        ({"minReplicas": 2, "maxReplicas": 2}, {"replicas": 2}, set()),
        (
            {"minReplicas": 2, "maxReplicas": 5},
            {"replicas": 2, "scaling": {"minReplicas": 2, "maxReplicas": 5}},
            set(),
        ),
        ({"minReplicas": 4, "maxReplicas": 2}, {"replicas": 4}, {"maxReplicas"}),
        (
            {"minReplicas": 1, "maxReplicas": 500},
            {"replicas": 1, "scaling": {"minReplicas": 1, "maxReplicas": 100}},
            {"maxReplicas"},
        ),
        ({"minReplicas": 200, "maxReplicas": 500}, {"replicas": 200}, {"maxReplicas"}),
        ({"minReplicas": "many", "maxReplicas": True}, {}, {"minReplicas", "maxReplicas"}),
        ({"minReplicas": 10**6}, {}, {"minReplicas"}),
    ],
)
def test_replicas(bounds, found, paths):
    stated = spec(service(**bounds))

    assert {key: stated[key] for key in ("replicas", "scaling") if key in stated} == found
    assert said(service(**bounds)).keys() == {f"spec.predictor.{path}" for path in paths}


def test_the_runtime_and_the_first_protocol_are_others():
    found = service({"runtime": "kserve-tritonserver", "protocolVersion": "v1"})

    assert spec(found, runtime="mine")["runtimeRef"] == {"name": "mine"}
    assert said(found).keys() == {
        "spec.predictor.model.runtime",
        "spec.predictor.model.protocolVersion",
    }
    assert said(service({"protocolVersion": "grpc-v2"})) == {}


def test_what_has_no_place_is_said_with_its_path_and_what_to_do():
    found = service(
        {"args": ["--x"], "modelFormat": {"name": "onnx", "version": "1"}, "tpu": 1, "image": None},
        spec={"transformer": {"containers": []}, "explainer": {}, "later": {"a": 1}},
        canaryTrafficPercent=10,
        workerSpec={"tensorParallelSize": 2},
        metadata={"ownerReferences": [], "uid": "u", 5: "x"},
    )

    assert said(found).keys() == {
        "metadata.ownerReferences",
        "metadata.5",
        "spec.transformer",
        "spec.explainer",
        "spec.later",
        "spec.predictor.canaryTrafficPercent",
        "spec.predictor.workerSpec",
        "spec.predictor.model.args",
        "spec.predictor.model.modelFormat.version",
        "spec.predictor.model.tpu",
    }
    assert "InferencePipeline" in said(found)["spec.transformer"]


@pytest.mark.parametrize(
    ("predictor", "words"),
    [
        ({"containers": [{"image": "mine"}]}, "a server of your own"),
        ({}, "states no model"),
        (5, "states no model"),
        ({"model": {}, "onnx": {}}, "states model and onnx: keep one"),
    ],
)
def test_a_predictor_without_one_model_is_refused(predictor, words):
    found = service()
    found["spec"]["predictor"] = predictor

    assert words in refusal(found)


def test_names_and_namespaces_that_cannot_be_are_refused_or_changed():
    assert "no letter" in refusal(service(name="…"))
    assert "is missing" in refusal(service(name=5))
    assert "is missing" in refusal(service(metadata={"name": None, "generateName": "m-"}))
    assert "no name of a namespace" in refusal(service(metadata={"namespace": "A B"}))
    assert said(service(name="9.lives"))["metadata.name"].startswith("it is called model-9-lives")


def test_labels_stay_and_annotations_were_meant_for_others():
    metadata = {
        "labels": {"team": "vision", "serving.kserve.io/x": "y", "bad": "a b"},
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "note": "x"},
    }
    imported = kserve.imported(service(metadata=metadata), asked())

    assert imported.manifest["metadata"]["labels"] == {"team": "vision"}
    assert left(imported).keys() == {
        "metadata.labels.serving.kserve.io/x",
        "metadata.labels.bad",
        "metadata.annotations.note",
    }
