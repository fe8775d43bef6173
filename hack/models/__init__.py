"""Scripts that build the models of the benchmark, the demo and the tests: no weights in git.

    python -m hack.models FOLDER [resnet50|digits|sleeper ...]

writes each model as a Triton repository entry, FOLDER/NAME/1/model.onnx.
"""
