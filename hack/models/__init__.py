"""Scripts that build the models of the benchmark, the demo and the tests: no weights in git.

    python -m hack.models FOLDER [resnet50|digits|strips|sleeper|ocr-detect ...]

writes each model as a Triton repository entry, FOLDER/NAME/1/model.onnx or model.py.
"""
