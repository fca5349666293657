"""Reads Prometheus's text format with the parser of its own Python client, which shares no code with ours.

Reads one scrape on stdin and writes [{"name": NAME, "type": TYPE, "help": TEXT, "labels": {LABEL: VALUE}, "value": NUMBER}, ...],
one entry for each sample, on stdout; a text that is not in that format ends it with an error.
"""

import json
import sys

from prometheus_client.parser import text_string_to_metric_families

samples = []
for family in text_string_to_metric_families(sys.stdin.read()):
    for sample in family.samples:
        samples.append(
            {
                "name": sample.name,
                "type": family.type,
                "help": family.documentation,
                "labels": sample.labels,
                "value": float(sample.value),
            }
        )
json.dump(samples, sys.stdout)
