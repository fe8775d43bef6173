"""The vocabulary: resource types, conditions, reasons and names.

It must not decide anything and must not talk to anything: it only parses and describes.
"""
