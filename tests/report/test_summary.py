import io
import json

import pandas as pd

from isoenergy.report.summary import headline_numbers

TIDY = """table,metric,variant,model,dataset,value,protocol
table_summary,rho,SAE,CLIP,laion,0.9,code
table_summary,rho,SAE,CLIP,laion,7.0,paper
table_summary,rho,SAE-A,CLIP,laion,inf,code
table_summary,r2,SAE,SigLIP,laion,,code
table_01,rho,SAE,CLIP,laion,0.1,code
"""


def test_the_summary_table_alone_under_default_protocols_is_nested_by_name():
    told = headline_numbers(pd.read_csv(io.StringIO(TIDY)))
    assert told == {
        "laion": {
            "CLIP": {"SAE": {"rho": 0.9}, "SAE-A": {"rho": None}},
            "SigLIP": {"SAE": {"r2": None}},
        }
    }
    assert json.dumps(told, allow_nan=False)


def test_a_run_without_the_summary_table_has_no_headline_numbers():
    tidy = pd.read_csv(io.StringIO(TIDY))
    assert headline_numbers(tidy[tidy.table == "table_01"]) == {}
