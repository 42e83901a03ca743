"""Files, tables and Python objects to items: a question, its choices and the right answer."""
