"""Validates JSON documents against a JSON schema with python-jsonschema, which shares no code with ours.

Reads {"schema": SCHEMA, "documents": [DOCUMENT, ...]} on stdin and writes one list of complaints for each document, each the
dotted path of what is wrong; a schema that is none itself ends it with an error.
"""

import json
import sys

from jsonschema import Draft202012Validator

request = json.load(sys.stdin)
Draft202012Validator.check_schema(request["schema"])
validator = Draft202012Validator(request["schema"])
answer = [
    sorted(".".join(str(step) for step in error.absolute_path) for error in validator.iter_errors(document))
    for document in request["documents"]
]
json.dump(answer, sys.stdout)
