"""The documentation as a site, and whether its links hold.

``nav`` and ``carried`` are what MkDocs does not do by itself, ``hooks`` tells it; ``links`` checks
every link of the Markdown files without MkDocs, as a reader of the repository follows them.
"""
