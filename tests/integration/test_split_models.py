"""Models that `ferryman split` has cut, served as an ensemble by a real tritonserver."""

import numpy as np
import onnxruntime
import pytest
import tritonclient.grpc as triton

from ferryman.cli import main
from tests.integration import served_parts
from tests.integration.tritonserver import TritonServer
from tests.unit.cli.onnx import small_models as small

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

ROWS = 3
ONE = small.info("x", [1, small.WIDTH]), small.info("y", [1, small.WIDTH])
MODELS = {
    "a-chain": (small.chain(), 4),
    "skip-connections": (small.residual(), 3),
    "several-inputs-and-outputs": (small.two_of_each(), 3),
    "branches-that-read-from-outside": (small.captured(), 2),
    "one-row-only": (small.chain(3, *ONE), 3),
    "names-with-dots-and-slashes": (
        small.renamed(small.chain(2), x="1/input:0", h0="layer/0.out:0", y="soft.max"),
        2,
    ),
}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """Serve every model, split."""
    repository = tmp_path_factory.mktemp("models")
    for name, (built, parts) in MODELS.items():
        folder = tmp_path_factory.mktemp("split")
        path = small.save(built, folder / f"{name}.onnx")
        out = folder / name
        given = ["--parts", str(parts), "--rounds", "1", "-o", str(out)]
        assert main.main(["split", str(path), *given]) == 0
        served_parts.serve(repository, out)
    with (
        TritonServer(repository, models=list(MODELS)) as server,
        triton.InferenceServerClient(server.grpc_url) as connection,
    ):
        yield connection


@pytest.mark.parametrize("name", MODELS)
def test_the_server_answers_as_the_whole_model_does(client, name):
    built, _ = MODELS[name]
    session = onnxruntime.InferenceSession(built.SerializeToString())
    random = np.random.default_rng(3)
    rows = 1 if name == "one-row-only" else ROWS
    values = [random.standard_normal((rows, small.WIDTH), np.float32) for _ in session.get_inputs()]
    given = {each.name: value for each, value in zip(session.get_inputs(), values, strict=True)}
    expected = session.run(None, given)

    metadata = client.get_model_metadata(name)
    inputs = []
    for each, value in zip(metadata.inputs, values, strict=True):
        inputs.append(triton.InferInput(each.name, list(value.shape), "FP32"))
        inputs[-1].set_data_from_numpy(value)
    answer = client.infer(name, inputs)
    found = {each.name: answer.as_numpy(each.name) for each in metadata.outputs}

    plain = [each.name.replace(".", "_") for each in session.get_outputs()]
    assert sorted(found) == sorted(plain)
    for output, whole in zip(plain, expected, strict=True):
        np.testing.assert_allclose(found[output], whole, atol=1e-5, rtol=0)
