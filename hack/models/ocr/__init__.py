"""A real pipeline: it reads the text of a page, with the trained models of a locked package.

    page → prepare → detect → crop → classify ‖ recognise → join → text

`prepare`, `crop` and `join` are Python; the other three are PP-OCR's models in ONNX, taken as they
are from the wheel of rapidocr-onnxruntime (Apache-2.0). OpenCV travels with the Python steps, from
the same lock file: no Triton image ships it. Nothing of it is in git, and nothing is downloaded
without its hash being checked.
"""
