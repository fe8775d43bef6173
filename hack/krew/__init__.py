"""The archive and the manifest with which krew installs ``kubectl ferryman``.

``launcher`` is what the archive runs: it must import nothing but the standard library.
"""
