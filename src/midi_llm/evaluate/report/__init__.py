"""An evaluation to read: one page in Markdown, one in HTML.

In: a `Report` and, for pictures, the folder with the MIDI files of its takes. Out: text. The same report gives the same
pages, byte for byte. Measures nothing; texts of prompts, systems and errors are foreign and escaped.
"""

from midi_llm.evaluate.report.comparison import comparison_markdown
from midi_llm.evaluate.report.markdown import report_markdown
from midi_llm.evaluate.report.page import report_html

__all__ = ["comparison_markdown", "report_html", "report_markdown"]
