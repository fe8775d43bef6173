"""What others' manifests and configurations are in Ferryman's words, and what is lost on the way.

Documents come in as plain values, objects go out as plain values that the API server would take.
Nothing is invented: what a source does not say is asked for, or left out and said.
"""
