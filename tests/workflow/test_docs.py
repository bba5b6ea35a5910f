import importlib.util


def test_generated_parts_of_the_documents_are_up_to_date(root):
    spec = importlib.util.spec_from_file_location("docs", root / "tools/docs.py")
    docs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(docs)
    for path, text in docs.documents().items():
        assert path.read_text() == text, f"{path.name} is out of date; run make docs"
