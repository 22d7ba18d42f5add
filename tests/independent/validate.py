"""Validates frames against the published schemas with a validator that the host does not use itself.

Standard input is one JSON object: for each schema's file, frames that are `valid` and frames that are not:

    {"docs/schema/server.json": {"valid": ["{...}", ...], "invalid": ["{...}", ...]}, ...}

Prints what is not as it was said to be, and exits with 1 if there is anything.
"""

import json
import sys

from jsonschema import Draft202012Validator


def main() -> int:
    faults = 0
    for path, frames in json.load(sys.stdin).items():
        with open(path, encoding="utf-8") as file:
            schema = json.load(file)
        Draft202012Validator.check_schema(schema)
        validator = Draft202012Validator(schema)
        for frame in frames["valid"]:
            for error in validator.iter_errors(json.loads(frame)):
                faults += 1
                print(f"{path}: {frame}: {error.message}")
        for frame in frames["invalid"]:
            if validator.is_valid(json.loads(frame)):
                faults += 1
                print(f"{path}: {frame}: passes, and should not")
    return 1 if faults else 0


sys.exit(main())
