"""Reverse-mode automatic differentiation of small matrices, to any order.

A Matrix remembers its origins: the matrices it was computed from, and for each a rule. The rule
turns the gradient of some loss with respect to the result into its part of the gradient with
respect to the origin. Rules use the functions of this file, so a gradient is a Matrix with origins,
too, and can be differentiated again.

There is no broadcasting: operands of + - * have the same shape, or one of them is a number.
"""
import math
from array import array
from operator import add, mul


class Matrix:
    __slots__ = ("rows", "columns", "values", "origins")

    def __init__(self, rows, columns, values, origins=()):
        self.rows, self.columns = rows, columns
        self.values = array("d", values)  # row by row
        self.origins = origins
        if len(self.values) != rows * columns:
            raise ValueError(f"{len(self.values)} values for {rows} x {columns}")

    def row(self, i):
        return self.values[i * self.columns : (i + 1) * self.columns]

    def number(self):
        (value,) = self.values
        return value

    def __add__(self, other):
        self.expect_shape_of(other)
        return self.like(
            map(add, self.values, other.values),
            (self, lambda slope, result: slope),
            (other, lambda slope, result: slope),
        )

    def __sub__(self, other):
        return self + -1.0 * other

    def __mul__(self, other):
        if not isinstance(other, Matrix):
            return self.like(
                (other * value for value in self.values),
                (self, lambda slope, result: slope * other),
            )
        self.expect_shape_of(other)
        return self.like(
            map(mul, self.values, other.values),
            (self, lambda slope, result: slope * other),
            (other, lambda slope, result: slope * self),
        )

    __rmul__ = __mul__

    def expect_shape_of(self, other):
        if (self.rows, self.columns) != (other.rows, other.columns):
            raise ValueError(f"{self.rows} x {self.columns} and {other.rows} x {other.columns}")

    def like(self, values, *origins):
        return Matrix(self.rows, self.columns, values, origins)

    def detached(self):
        """The same values without origins: a constant, or a variable to differentiate by."""
        return self.like(self.values)


# ---- element by element ----


def exp(a):
    return a.like(map(math.exp, a.values), (a, lambda slope, result: slope * result))


def log(a):
    return a.like(map(math.log, a.values), (a, lambda slope, result: slope * power(a, -1.0)))


def power(a, exponent):
    return a.like(
        (value**exponent for value in a.values),
        (a, lambda slope, result: slope * (exponent * power(a, exponent - 1.0))),
    )


# ---- shapes ----


def transposed(a):
    values = array("d")
    for j in range(a.columns):
        values.extend(a.values[j :: a.columns])
    return Matrix(a.columns, a.rows, values, ((a, lambda slope, result: transposed(slope)),))


def rows_at(a, indices):
    """Rows of a, one for each index."""
    values = array("d")
    for i in indices:
        values.extend(a.row(i))
    rule = lambda slope, result: rows_added(slope, indices, a.rows)
    return Matrix(len(indices), a.columns, values, ((a, rule),))


def rows_added(a, indices, rows):
    """The reverse of rows_at: each row of a is added to the row of its index."""
    sums = [[0.0] * a.columns for _ in range(rows)]
    for k, i in enumerate(indices):
        sums[i] = list(map(add, sums[i], a.row(k)))
    rule = lambda slope, result: rows_at(slope, indices)
    return Matrix(rows, a.columns, (value for row in sums for value in row), ((a, rule),))


def repeated(a, columns):
    """A column, repeated."""
    values = array("d")
    for value in a.values:
        values.extend([value] * columns)
    return Matrix(a.rows, columns, values, ((a, lambda slope, result: row_sums(slope)),))


# ---- sums and products ----


def row_sums(a):
    """A column: the sum of each row."""
    rule = lambda slope, result: repeated(slope, a.columns)
    return Matrix(a.rows, 1, (math.fsum(a.row(i)) for i in range(a.rows)), ((a, rule),))


def total(a):
    return row_sums(transposed(row_sums(a)))


def row_products(a, b):
    """The product of a and the transpose of b: inner products of their rows."""
    of_b = [b.row(j) for j in range(b.rows)]
    of_a = (a.row(i) for i in range(a.rows))
    values = (math.fsum(map(mul, x, y)) for x in of_a for y in of_b)
    return Matrix(
        a.rows,
        b.rows,
        values,
        (
            (a, lambda slope, result: row_products(slope, transposed(b))),
            (b, lambda slope, result: row_products(transposed(slope), transposed(a))),
        ),
    )


# ---- differentiation ----


def with_ancestors(matrix):
    """The matrix and all it was computed from, origins before results."""
    order, seen, open_nodes = [], {id(matrix)}, [(matrix, iter(matrix.origins))]
    while open_nodes:
        node, origins = open_nodes[-1]
        for origin, _ in origins:
            if id(origin) not in seen:
                seen.add(id(origin))
                open_nodes.append((origin, iter(origin.origins)))
                break
        else:
            order.append(node)
            open_nodes.pop()
    return order


def gradients(loss, variables):
    """The gradients of a loss (1 x 1) with respect to each variable."""
    order = with_ancestors(loss)
    dependent = {id(variable) for variable in variables}
    for node in order:
        if any(id(origin) in dependent for origin, _ in node.origins):
            dependent.add(id(node))
    slopes = {id(loss): Matrix(1, 1, [1.0])}
    for node in reversed(order):
        if id(node) not in dependent or id(node) not in slopes:
            continue
        for origin, rule in node.origins:
            if id(origin) in dependent:
                part = rule(slopes[id(node)], node)
                known = slopes.get(id(origin))
                slopes[id(origin)] = part if known is None else known + part
    nothing = [variable.like([0.0] * len(variable.values)) for variable in variables]
    return [slopes.get(id(variable), zeros) for variable, zeros in zip(variables, nothing)]
