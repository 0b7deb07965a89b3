"""A written page as a document: what nests, what points where, what leaves the page."""
import html.parser

VOID = {"meta", "br", "input", "img", "hr", "link"}


class Page(html.parser.HTMLParser):
    """Fails where elements do not nest, ids come twice, or anything is fetched."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.ids, self.links, self.uses, self.text, self.problems = [], [], [], [], [], []
        self.counts = {}
        self.feed(text)
        self.close()
        if self.open:
            self.problems.append(f"left open: {self.open}")

    def handle_starttag(self, tag, attributes):
        self.start(tag, attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.start(tag, attributes)

    def start(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        names = [name for name, _ in attributes]
        given = dict(attributes)
        if len(names) != len(given):
            self.problems.append(f"<{tag}> has an attribute twice: {names}")
        if any(name.startswith("on") for name in names):
            self.problems.append(f"<{tag}> has a handler")
        if "id" in given:
            self.ids.append(given["id"])
        for name in ("href", "src", "xlink:href", "action", "data", "poster", "srcset"):
            if name in given and not given[name].startswith(("#", "data:image/")):
                self.problems.append(f"<{tag} {name}={given[name][:60]!r}> leaves the page")
        if tag in ("a", "use"):
            (self.links if tag == "a" else self.uses).append(given.get("href", ""))
        if given.get("role") == "img" and not given.get("aria-label"):
            self.problems.append(f"<{tag}> is a picture without words")
        if tag == "th" and not given.get("scope"):
            self.problems.append("a table header without scope")

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data):
        self.text.append(data)

    def check(self, case):
        """Of a unittest case."""
        case.assertEqual(self.problems, [])
        case.assertEqual(len(self.ids), len(set(self.ids)), "an id comes twice")
        for link in self.links + self.uses:
            case.assertIn(link[1:], self.ids)
