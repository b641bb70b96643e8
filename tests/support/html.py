"""What a browser would make of HTML: the oracle of the tests here."""

from html.parser import HTMLParser

VOID = {"meta", "br"}


class Page(HTMLParser):
    """Elements as (name, attributes, text); texts of tables, row by row; fails on what doesn't nest."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.elements, self._open = [], []
        self.feed(source)
        self.close()
        assert self._open == []

    def handle_starttag(self, name, attributes):
        element = [name, dict(attributes), ""]
        assert len(element[1]) == len(attributes)
        self.elements.append(element)
        if name not in VOID:
            self._open.append(element)

    def handle_endtag(self, name):
        assert self._open.pop()[0] == name

    def handle_data(self, data):
        for element in self._open:
            element[2] += data

    def texts(self, *names):
        return [text for name, _, text in self.elements if name in names]

    def names(self):
        return {name for name, _, _ in self.elements}

    def rows(self):
        """The cells' texts of each row of the body."""
        rows = []
        for name, _, text in self.elements:
            if name == "tr":
                rows.append([])
            elif name in {"td", "th"}:
                rows[-1].append(text)
        return rows[1:]
