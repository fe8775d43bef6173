"""A model repository without programs, where the runtime allows no code.

The files are the model author's, on a volume that may change while the pod runs. So each file is
linked by itself: what comes later, or is called like a program, is not in the repository.
"""

from typing import Final

from ferryman.api import names
from ferryman.core.manifests import Manifest
from ferryman.core.triton import code

#: What the layout container says of a program.
PROGRAM: Final = "the model volume has a program"
DEEPEST: Final = 8

#: POSIX sh, after the repository was laid out: folders that are links become folders of links. A
#: subshell for each folder, because sh has no local variables.
SCRIPT: Final = f"""
seal() (
  if [ "$2" -gt {DEEPEST} ]; then
    echo "the model volume has folders in folders, more than {DEEPEST}: lay it out flatter" >&2
    exit 1
  fi
  if [ -L "$1" ]; then
    source=$(cd -P "$1" && pwd)
    rm "$1"
    mkdir "$1"
    for path in "$source"/*; do
      if [ -e "$path" ]; then ln -s "$path" "$1/"; fi
    done
  fi
  for path in "$1"/*; do
    # Ferryman's own, which several models of a server share; it is put there afterwards.
    if [ "$(readlink "$path")" = ../{names.STRATEGY_LIBRARY} ]; then continue; fi
    # Likewise a program of Ferryman's: what the model's author has is linked from elsewhere.
    case $(readlink "$path") in {names.PATH_CONFIG}/*) continue ;; esac
    case ${{path##*/}} in
      {" | ".join(code.PROGRAMS)})
        echo "{PROGRAM}, ${{path#{names.PATH_REPOSITORY}/}}: remove it, or use a runtime whose" \\
          "class has allowCode true" >&2
        exit 1 ;;
    esac
    if [ -d "$path" ]; then seal "$path" $(($2 + 1)); fi
  done
)
for model in {names.PATH_REPOSITORY}/*; do
  if [ -d "$model" ]; then seal "$model" 0; fi
done
"""


def add(spec: Manifest) -> Manifest:
    """Return a pod's specification whose first init container, which lays out, refuses programs."""
    layout, *others = spec["initContainers"]
    *shell, script = layout["command"]
    return {
        **spec,
        "initContainers": [{**layout, "command": [*shell, script + SCRIPT]}, *others],
    }
