"""ONNX models as files, and ONNX Runtime, which runs, times and compresses them.

The packages ``onnx`` and ``onnxruntime`` come with the extra ``ferryman[onnx]``; only modules in
here import them, and nothing that an operator or an agent runs imports these.
"""
