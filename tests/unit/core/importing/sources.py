"""Sources by the shape of public examples, and what is asked of them."""

from ferryman.api.objectives import LatencyObjective, Objectives
from ferryman.clients import pbtxt
from ferryman.core.importing.outcome import Request
from ferryman.core.importing.triton.model import StoredModel

OBJECTIVES = Objectives(latency=LatencyObjective(target_milliseconds=50))


def asked(storage_uri="pvc://models/repository", **more):
    return Request(OBJECTIVES, storage_uri=storage_uri, **more)


def service(model=None, *, name="detector", metadata=None, spec=None, **predictor):
    """Return an InferenceService with a model of ONNX, and what is said besides."""
    plain = {"modelFormat": {"name": "onnx"}, "storageUri": "s3://models/detector"}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, **(metadata or {})},
        "spec": {"predictor": {"model": {**plain, **(model or {})}, **predictor}, **(spec or {})},
    }


def stored(text, *files, name=None):
    """Return a model of a repository by its config.pbtxt."""
    config = pbtxt.stated(text)
    return StoredModel(name or config.get("name", "model"), config, frozenset(files) or None)


DENSENET = """
name: "densenet_onnx" platform: "onnxruntime_onnx" max_batch_size: 0
input [ { name: "data_0" data_type: TYPE_FP32 dims: [ 3, 224, 224 ]
          reshape { shape: [ 1, 3, 224, 224 ] } } ]
output [ { name: "fc6_1" data_type: TYPE_FP32 dims: [ 1000 ] label_filename: "labels.txt" } ]
"""
PREPROCESS = """
name: "preprocess" backend: "python" max_batch_size: 256
input [ { name: "BYTES" data_type: TYPE_UINT8 dims: [ -1 ] } ]
output [ { name: "IMAGE" data_type: TYPE_FP32 dims: [ 3, 224, 224 ] } ]
instance_group [ { kind: KIND_CPU count: 8 } ]
"""
RESNET = """
name: "resnet_trt" platform: "tensorrt_plan" max_batch_size: 128
input [ { name: "in:0" data_type: TYPE_FP32 dims: [ 3, 224, 224 ] } ]
output [ { name: "out" data_type: TYPE_FP32 dims: [ 1000 ] } ]
dynamic_batching { max_queue_delay_microseconds: 500 }
"""
ENSEMBLE = """
name: "ensemble_resnet" platform: "ensemble" max_batch_size: 256
input [ { name: "INPUT" data_type: TYPE_UINT8 dims: [ -1 ] } ]
output [ { name: "OUTPUT" data_type: TYPE_FP32 dims: [ 1000 ] } ]
ensemble_scheduling { step [
  { model_name: "preprocess" model_version: -1
    input_map { key: "BYTES" value: "INPUT" } output_map { key: "IMAGE" value: "image" } },
  { model_name: "resnet_trt" model_version: -1
    input_map { key: "in:0" value: "image" } output_map { key: "out" value: "OUTPUT" } } ] }
"""
#: The simple ensemble: sum and difference of two inputs, each then on its own.
ADD_SUB = """
name: "simple" platform: "ensemble" max_batch_size: 8
input [ { name: "INPUT0" data_type: TYPE_INT32 dims: [ 16 ] },
        { name: "INPUT1" data_type: TYPE_INT32 dims: [ 16 ] } ]
output [ { name: "SUM OF ALL" data_type: TYPE_INT32 dims: [ 16 ] } ]
ensemble_scheduling { step [
  { model_name: "add_sub" model_version: 1
    input_map { key: "A" value: "INPUT0" } input_map { key: "B" value: "INPUT1" }
    output_map { key: "SUM" value: "sum" } output_map { key: "DIFF" value: "diff" } },
  { model_name: "add_sub" model_version: -1
    input_map { key: "A" value: "sum" } input_map { key: "B" value: "diff" }
    output_map { key: "SUM" value: "SUM OF ALL" } } ] }
"""
ADDER = """
name: "add_sub" backend: "onnxruntime" max_batch_size: 8
input { name: "A" data_type: TYPE_INT32 dims: [ 16 ] }
input { name: "B" data_type: TYPE_INT32 dims: [ 16 ] }
output { name: "SUM" data_type: TYPE_INT32 dims: [ 16 ] }
output { name: "DIFF" data_type: TYPE_INT32 dims: [ 16 ] }
"""


def left(imported):
    """Return what was left out or changed, by path."""
    return {each.path: each.advice for each in imported.left_out}
