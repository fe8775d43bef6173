"""A server that holds several models: each has files, configuration and live cap of its own."""

import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.api.crd import DNS_LABEL
from ferryman.api.inference_runtime import RuntimeLiveCap
from ferryman.core import render
from ferryman.core.render.layout import layout_script
from ferryman.core.render.slots import SOLE, ServedModel, cap_annotations, is_model_volume, slot
from tests import factories

CAP = RuntimeLiveCap(library="/lib/batchstrategy.so")
ODD = "Crop_And.Rotate"


def held(name, uri="oci://registry.example/m:1", **fields):
    return ServedModel(name, uri, slot(name), **{"config": {"name": name}, **fields})


DETECT = held("detect", "oci://registry.example/detect:1", live_cap=CAP)
CROP = held(ODD, "pvc://models/crop", live_cap=None)
ENSEMBLE = held("ocr", None)


def rendered(*models):
    serving = render.Serving(
        served=factories.model("ocr"),
        models=models,
        entry=factories.runtime_processor(),
        node_type="cpu-small",
        preferred_node=None,
        pull_policy="IfNotPresent",
        control_key="secret",
        environment=render.Environment("ferryman-system"),
    )
    return {each["kind"]: each for each in render.render(serving, repr)}


def pod_spec(*models):
    return rendered(*models)["Deployment"]["spec"]["template"]["spec"]


@given(st.text(min_size=1, max_size=80))
def test_whatever_a_model_is_called_its_names_are_valid(name):
    own = slot(name)
    assert re.fullmatch(DNS_LABEL, own.volume)
    assert is_model_volume(own.volume)
    annotation = own.cap_annotation.partition("/")[2]
    assert re.fullmatch(r"[a-z0-9][-.a-z0-9]{0,61}[a-z0-9]", annotation)
    assert cap_annotations({own.cap_annotation: "1", "other": "2"}) == {own.cap_annotation: "1"}
    assert re.fullmatch(r"[-a-z0-9]{1,200}\.pbtxt", own.config_file)


LABELS = st.from_regex(r"\A[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?\Z")


@given(st.sets(LABELS | st.text(min_size=1, max_size=80), min_size=2, max_size=2))
def test_no_two_models_share_anything(names):
    one, other = (slot(name) for name in names)
    for field in ("volume", "path", "config_file", "cap_file", "cap_annotation"):
        assert getattr(one, field) != getattr(other, field)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("a_b", "a.b", id="what is kept of both is the same"),
        pytest.param("Detect", "detect", id="they differ by their case"),
        pytest.param("d" * 60 + "1", "d" * 60 + "2", id="they differ beyond what is kept"),
        pytest.param("a_b", slot("a_b").volume.removeprefix("model-"), id="one is named like it"),
    ],
)
def test_names_that_come_close_are_told_apart(one, other):
    assert slot(one).volume != slot(other).volume


def test_a_plain_name_is_kept():
    assert slot("detect").volume == "model-detect"
    assert slot("detect").cap_annotation == "serving.ferryman.dev/max-batch-size.detect"


def test_each_model_has_its_own_volume_which_both_containers_mount_alike():
    spec = pod_spec(DETECT, CROP, ENSEMBLE)
    volumes = {each["name"]: each for each in spec["volumes"]}
    assert volumes["model-detect"]["image"]["reference"] == "registry.example/detect:1"
    assert volumes[CROP.slot.volume]["persistentVolumeClaim"]["claimName"] == "models"
    for container in (spec["initContainers"][0], spec["containers"][0]):
        mounts = {each["name"]: each for each in container["volumeMounts"]}
        assert mounts["model-detect"]["mountPath"] == "/model/detect"
        assert mounts[CROP.slot.volume]["subPath"] == "crop"
        assert "model-ocr" not in mounts
        assert set(mounts) <= set(volumes)


def test_models_of_one_claim_share_its_volume_and_each_sees_its_own_folder():
    # A pod that names a claim twice may never start: kubernetes/kubernetes#132921.
    alike = [held(name, f"pvc://models/{name}") for name in ("a", "b")]
    spec = pod_spec(held("c", "pvc://others/"), *alike, DETECT)
    claims = [
        each["persistentVolumeClaim"]["claimName"]
        for each in spec["volumes"]
        if "persistentVolumeClaim" in each
    ]
    assert claims == ["others", "models"]
    for container in (spec["initContainers"][0], spec["containers"][0]):
        mounts = {
            each["mountPath"]: (each["name"], each.get("subPath"))
            for each in container["volumeMounts"]
        }
        assert mounts["/model/a"] == ("model-a", "a")
        assert mounts["/model/b"] == ("model-a", "b")
        assert mounts["/model/c"] == ("model-c", None)


def test_each_configuration_is_an_entry_of_the_config_map_and_one_that_is_not_known_is_empty():
    data = rendered(DETECT, CROP, ENSEMBLE)["ConfigMap"]["data"]
    assert data == {
        "detect.pbtxt": "{'name': 'detect'}",
        CROP.slot.config_file: f"{{'name': '{ODD}'}}",
        "ocr.pbtxt": "{'name': 'ocr'}",
    }
    unknown = held("ocr", None, config=None)
    assert rendered(DETECT, unknown)["ConfigMap"]["data"]["ocr.pbtxt"] == ""


def test_all_are_loaded_and_the_last_is_what_a_pod_is_asked_for():
    triton = pod_spec(DETECT, CROP, ENSEMBLE)["containers"][0]
    loaded = [each for each in triton["args"] if each.startswith("--load-model")]
    assert loaded == ["--load-model=detect", f"--load-model={ODD}", "--load-model=ocr"]
    assert triton["readinessProbe"]["httpGet"]["path"] == "/v2/models/ocr/ready"


def test_pods_roll_with_what_any_of_the_models_is_made_for_and_not_with_what_is_tuned():
    def template(**fields):
        detect = held("detect", live_cap=CAP, **fields)
        return rendered(detect, CROP, ENSEMBLE)["Deployment"]["spec"]["template"]

    first = template()
    assert template(config={"max_batch_size": 9}) == first
    assert template(untuned_config={"backend": "python"}) != first


def test_each_live_cap_is_an_annotation_and_a_file_of_its_own_and_the_library_is_copied_once():
    other = held("read", live_cap=CAP)
    spec = pod_spec(DETECT, other, CROP, ENSEMBLE)
    items = spec["volumes"][-1]["downwardAPI"]["items"]
    assert [(each["path"], each["fieldRef"]["fieldPath"]) for each in items] == [
        (name, f"metadata.annotations['serving.ferryman.dev/max-batch-size.{name}']")
        for name in ("detect", "read")
    ]
    layout, copying = spec["initContainers"]
    assert copying["command"] == ["cp", "/lib/batchstrategy.so", "/models/batchstrategy.so"]
    guards = [each["name"] for each in layout["env"] if "LIVE_CAP" in each["name"]]
    assert guards == ["FERRYMAN_LIVE_CAP_0", "FERRYMAN_LIVE_CAP_1"]


def test_without_a_live_cap_nothing_of_it_is_there():
    assert "live-cap" not in repr(pod_spec(CROP, ENSEMBLE))


@pytest.fixture
def lay_out(tmp_path):
    """Lay the models out in folders of the test's own; return what ended and the repository."""
    models = (DETECT, CROP, ENSEMBLE)
    for folder in ("config", "models", *(each.slot.path.strip("/") for each in models)):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for model in models[:2]:
        (tmp_path / "config" / model.slot.config_file).write_text(f"of {model.name}")
    # Absolute paths stand after a space, a quote or an equals sign.
    script = re.sub(
        r"(?<=[\s\"=])/(?=(models|model|config)/)", f"{tmp_path}/", layout_script(models)
    )
    environment = {f"FERRYMAN_MODEL_{i}": each.name for i, each in enumerate(models)}

    def run(*files, **more):
        for name in files:
            path = tmp_path / "model" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
        done = subprocess.run(
            ["/bin/sh", "-c", script],
            env={"PATH": "/usr/bin:/bin", **environment, **more},
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
        return done, tmp_path / "models"

    return run


def test_models_are_laid_out_beside_each_other(lay_out):
    done, models = lay_out("detect/model.onnx", f"{CROP.slot.path[7:]}/3/model.py")
    assert done.returncode == 0, done.stderr
    assert (models / "detect/1/model.onnx").read_text() == "detect/model.onnx"
    assert (models / "detect/config.pbtxt").read_text() == "of detect"
    assert (models / ODD / "3/model.py").exists()
    assert (models / ODD / "config.pbtxt").read_text() == f"of {ODD}"


def test_one_with_a_live_cap_links_to_the_copy_that_comes_later(lay_out):
    _, models = lay_out("detect/model.onnx", f"{CROP.slot.path[7:]}/model.py")
    (models / "batchstrategy.so").write_text("library")
    assert (models / "detect/batchstrategy.so").read_text() == "library"
    assert not (models / ODD / "batchstrategy.so").is_symlink()


def test_a_configuration_that_comes_later_is_there_for_a_container_that_restarts(lay_out):
    _, models = lay_out("detect/model.onnx", f"{CROP.slot.path[7:]}/model.py")
    config = models / "ocr/config.pbtxt"
    assert not config.exists()
    assert (models / "ocr/1").is_dir()
    (models.parent / "config/ocr.pbtxt").write_text("now known")
    assert config.read_text() == "now known"


@pytest.mark.parametrize(
    ("files", "environment", "words"),
    [
        pytest.param(
            ["detect/model.onnx"],
            {},
            f"{ODD}: the model volume is empty: put the model's files, or numbered version "
            "folders, at its top",
            id="one without files",
        ),
        pytest.param(
            ["detect/1/batchstrategy.so"],
            {"FERRYMAN_LIVE_CAP_0": "1"},
            "detect: the model volume has a batchstrategy.so of its own: state "
            "TRITON_BATCH_STRATEGY_PATH in spec.model.config, or remove it",
            id="one with a strategy of its own",
        ),
    ],
)
def test_what_is_wrong_is_said_of_the_model_that_it_is_wrong_with(
    lay_out, files, environment, words
):
    done, _ = lay_out(*files, **environment)
    assert (done.returncode, done.stderr.strip()) == (1, words)


def test_a_single_model_has_the_plain_names():
    assert (SOLE.volume, SOLE.path, SOLE.config_file) == ("model", "/model", "config.pbtxt")
    assert SOLE.cap_annotation == "serving.ferryman.dev/max-batch-size"
