/* JMESPath: the query language that policies of version 1.2 apply to events, PCRs and keys (function JmesPath(json, query)).
 *
 * Complete in the sense of the compliance suite of jmespath.org (jmespath.test), and besides it knows the service's own function
 * equals_ignore_case(string, string), which compares ASCII letters without their case and every other character as it is; nothing equals null.
 *
 * Every error names the suite's kind of error and the offset in bytes from the beginning of the expression:
 *
 *     JMESPath: invalid-type at offset 12: the first argument of sum() has to be an array of numbers
 *
 *     JMESPATH_INVALID   syntax, unknown-function, invalid-arity, invalid-value: the text alone shows that it can never be evaluated
 *     JMESPATH_FAILED    invalid-type, invalid-value: it cannot be applied to this document
 *     LIMIT_EXCEEDED     a limit below */
#pragma once

#include "base/json.h"

/* These limits are our own: the service publishes none. A policy is a few kilobytes, and its expressions are smaller still. */
#define JMESPATH_EXPRESSION_MAX (64u << 10) /* bytes of text */
#define JMESPATH_DEPTH_MAX 200              /* levels of the parsed expression, which bounds recursion */
/* What one search may cost: a step for each part of the expression that is evaluated, for each value that is copied or compared, and for
 * each 64 bytes of text. A thousand boot events take a query of twenty parts to 20,000 steps. */
#define JMESPATH_STEPS_MAX 4000000u
/* Weight of a list, object or text that a search builds: the bytes of its texts and 8 for each value. A result shares its parts with the
 * document, so that without this limit "[@,@]|[@,@]|…" would double its text with each step. */
#define JMESPATH_RESULT_MAX (4u << 20)

typedef struct JmesPath JmesPath;

/* Parses expression (UTF-8), which need not outlive the result. Errors: JMESPATH_INVALID, LIMIT_EXCEEDED. */
Err *jmespath_parse(Span expression, JmesPath **ret) _must_check_;
JmesPath *jmespath_free(JmesPath *path);
DEFINE_CLEANUP(JmesPath, jmespath_free)

/* Applies path to document (NULL is JSON null). The caller owns the result, which is NULL for JSON null and shares its parts with
 * document and path: neither may be changed afterwards. Nested at most JSON_DEPTH_MAX + JMESPATH_DEPTH_MAX levels if document came from
 * json_parse(). Errors: JMESPATH_FAILED, LIMIT_EXCEEDED. */
Err *jmespath_search(const JmesPath *path, Json *document, Json **ret) _must_check_;
