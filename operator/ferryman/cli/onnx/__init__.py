"""Commands on ONNX files: to split one into the steps of a pipeline, to compress one.

Each command's own module knows its arguments alone. What works on files is imported when it runs:
the packages it needs come with the extra ``ferryman[onnx]``.
"""
