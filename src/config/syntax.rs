//! The nom grammar of one line: comments, words, quoting, braces, script strings.
