// Which results of the search come first: names that are asked for, then pages whose titles have the words, then how-to pages before the rest.
const PLACES = [[/^howto\//, 12], [/^(techniques|nbs)\//, 6], [/^(learn|tabular|collab|text|timeseries|export|onnx|scale|speed|checks)$/, 4],
                [/^explanations\//, 3], [/^(architecture|changelog|kinds|reports|from_fastai|silent-failures|contributing|deprecation)$/, -8]];
const SMALL = new Set(["a", "and", "as", "at", "be", "do", "for", "how", "i", "in", "is", "it", "my", "of", "on", "or", "the", "to", "why", "with"]);
const wordsOf = text => (text.toLowerCase().match(/[a-z0-9]+/g) || []).filter(word => !SMALL.has(word)).map(word => word.slice(0, 5));

var Scorer = {
  score: ([docname, title, anchor, descr, score]) => {
    const asked = new Set(wordsOf(new URLSearchParams(window.location.search).get("q") || ""));
    const shared = new Set(wordsOf(title + " " + docname).filter(word => asked.has(word))).size;
    const place = PLACES.find(([pattern]) => pattern.test(docname));
    return score + (asked.size ? 20 * shared / asked.size : 0) + (place ? place[1] : 0);
  },
  objNameMatch: 50, objPartialMatch: 3, objPrio: {0: 5, 1: 0, 2: -5}, objPrioDefault: 0,
  title: 15, partialTitle: 7, term: 5, partialTerm: 2,
};
