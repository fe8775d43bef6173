"""A step that sleeps and echoes, run in Triton's Python stub; it says itself what its tensors are.

Nothing of them stands in its configuration, so that a pipeline of such steps is only known once
they are loaded.
"""

import json
import time

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Echoes its input after so many milliseconds."""

    @staticmethod
    def auto_complete_config(config):
        """State the tensors."""
        tensor = {"data_type": "TYPE_FP32", "dims": [1]}
        config.add_input({"name": "input", **tensor})
        config.add_output({"name": "output", **tensor})
        return config

    def initialize(self, args):
        """Read how long to sleep."""
        parameters = json.loads(args["model_config"])["parameters"]
        self._sleep_s = int(parameters["sleep_ms"]["string_value"]) / 1e3

    def execute(self, requests):
        """Answer after the time, once for all requests of the batch."""
        time.sleep(self._sleep_s)
        return [
            pb_utils.InferenceResponse(
                output_tensors=[
                    pb_utils.Tensor(
                        "output", pb_utils.get_input_tensor_by_name(request, "input").as_numpy()
                    )
                ]
            )
            for request in requests
        ]
