"""Why a model leaves its place: its nodes died, or are drained, or have no room for its pods."""
