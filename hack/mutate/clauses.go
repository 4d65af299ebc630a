// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
)

// clause is a condition in the code, or a part of one, that can be switched off.
type clause struct {
	// number is from 1 on; it says which clause is off.
	number int
	file   string
	line   int
	// kind is "if" or "case" for a condition that never holds when it is off, "&&" or "||" for an operand that is as good as
	// not there.
	kind, text string
}

func (c clause) String() string { return fmt.Sprintf("%s:%d %s %s", c.file, c.line, c.kind, c.text) }

// switches is a file in the making in which each clause has a switch. What is off is not evaluated, and everything stays
// in use, so that the code compiles whatever is off.
type switches struct {
	fset    *token.FileSet
	source  []byte
	name    string
	clauses []clause
	first   int
	// before and after are insertions in the order in which the clauses were met, outer ones first.
	before, after []insertion
	err           error
}

type insertion struct {
	at   int
	text string
}

// install returns a source in which every clause can be switched off by the variable switchedOff, and the clauses,
// numbered from first on. A line of the source stays on its line.
func install(name string, source []byte, first int) ([]byte, []clause, error) {
	s := &switches{fset: token.NewFileSet(), source: source, name: name, first: first}
	file, err := parser.ParseFile(s.fset, name, source, parser.ParseComments)
	if err != nil {
		return nil, nil, err
	}
	parts := map[ast.Expr]bool{} // of a chain that was taken apart already
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.IfStmt:
			s.off("if", n.Cond, "switchedOff != %d && (", ")")
		case *ast.SwitchStmt:
			s.cases(n)
		case *ast.BinaryExpr:
			if !parts[n] {
				s.operands(n, parts)
			}
		}
		return true
	})
	slices.Reverse(s.after) // where two end, the inner one does first
	insertions := append(s.before, s.after...)
	slices.SortStableFunc(insertions, func(a, b insertion) int { return cmp.Compare(a.at, b.at) })
	var out []byte
	done := 0
	for _, i := range insertions {
		out = append(append(out, source[done:i.at]...), i.text...)
		done = i.at
	}
	return append(out, source[done:]...), s.clauses, s.err
}

// off puts a switch around an expression; before has a place for the clause's number.
func (s *switches) off(kind string, e ast.Expr, before, after string) {
	from, to := s.fset.Position(e.Pos()), s.fset.Position(e.End())
	number := s.first + len(s.clauses)
	s.insert(from.Offset, "("+fmt.Sprintf(before, number), to.Offset, after+")")
	s.clauses = append(s.clauses, clause{number: number, file: s.name, line: from.Line, kind: kind,
		text: strings.Join(strings.Fields(string(s.source[from.Offset:to.Offset])), " ")})
}

func (s *switches) insert(from int, before string, to int, after string) {
	s.before = append(s.before, insertion{from, before})
	s.after = append(s.after, insertion{to, after})
}

// cases makes each case of a switch one that can be passed by.
func (s *switches) cases(n *ast.SwitchStmt) {
	before := "switchedOff != %d && ("
	if n.Tag != nil {
		if n.Init != nil {
			s.err = fmt.Errorf("%s: a switch with a statement and a tag has no place for another statement", s.fset.Position(n.Pos()))
			return
		}
		s.insert(s.fset.Position(n.Tag.Pos()).Offset, "tagOfSwitch := ", s.fset.Position(n.Tag.End()).Offset, ";")
		before += "tagOfSwitch == "
	}
	for _, c := range n.Body.List {
		for _, e := range c.(*ast.CaseClause).List {
			s.off("case", e, before, ")")
		}
	}
}

// operands makes each operand of a chain of && or || one that is as good as not there.
func (s *switches) operands(n *ast.BinaryExpr, parts map[ast.Expr]bool) {
	before := "switchedOff != %d && (" // || goes on after what does not hold
	switch n.Op {
	case token.LOR:
	case token.LAND:
		before = "switchedOff == %d || ("
	default:
		return
	}
	for _, side := range []ast.Expr{n.X, n.Y} {
		if inner, ok := ast.Unparen(side).(*ast.BinaryExpr); ok && inner.Op == n.Op {
			parts[inner] = true
			s.operands(inner, parts)
			continue
		}
		s.off(n.Op.String(), side, before, ")")
	}
}
