// Asks metasd through JDBC; the first argument is the URL. 045_interop.pl compares what it prints.
import java.sql.*;
import java.util.*;

public class Predict {
    static Connection connection;

    static PreparedStatement prepare(String sql, Object... values) throws SQLException {
        PreparedStatement statement = connection.prepareStatement(sql);

        for (int i = 0; i < values.length; i++)
            statement.setObject(i + 1, values[i]);
        return statement;
    }

    static void show(String kind, String model, Object head, Object relation) throws SQLException {
        PreparedStatement statement = prepare(
            "SELECT tail FROM kg_predict(?, ?, 2, ?, known => 'include') ORDER BY rank", head, relation, model);
        StringBuilder line = new StringBuilder(kind);

        for (int i = 0; i < 12; i++) { // the driver prepares it on the server at the fifth time
            ResultSet rows = statement.executeQuery();

            line.setLength(kind.length());
            while (rows.next()) {
                Object tail = rows.getObject(1);

                if (tail.getClass() != head.getClass())
                    throw new SQLException("an answer is a " + tail.getClass());
                line.append(" ").append(tail);
            }
        }
        System.out.println(line);
    }

    static ResultSet first(PreparedStatement statement) throws SQLException {
        ResultSet rows = statement.executeQuery();

        rows.next();
        return rows;
    }

    public static void main(String[] arguments) throws SQLException {
        StringBuilder line = new StringBuilder();
        PreparedStatement none;

        connection = DriverManager.getConnection(arguments[0]);
        show("int", "numbers", 1, 7);
        show("text", "texts", "a", "r");
        show("uuid", "ids", new UUID(0, 1), new UUID(0, 7));
        none = prepare("SELECT * FROM kg_predict(?::text, 'r', model => 'texts')");
        none.setNull(1, Types.VARCHAR);
        System.out.println("null " + (none.executeQuery().next() ? 1 : 0));
        System.out.println("score " + first(prepare("SELECT kg_score(?, ?, ?, ?)", 1, 7, 2, "numbers")).getFloat(1));
        for (Float x : (Float[]) first(prepare("SELECT kg_embedding(?, ?)", 2, "numbers")).getArray(1).getArray())
            line.append(String.format(Locale.ROOT, " %.0f", x));
        System.out.println("embedding" + line);
        line.setLength(0);
        ResultSet rows = prepare("SELECT head, tail FROM kg_predict_many(?, ?, 1, ?, known => 'include') ORDER BY query",
            connection.createArrayOf("text", new String[] {"a", "b"}),
            connection.createArrayOf("text", new String[] {"r"}), "texts").executeQuery();
        while (rows.next())
            line.append(" ").append(rows.getString(1)).append("-").append(rows.getString(2));
        System.out.println("many" + line);
        try {
            first(prepare("SELECT kg_score(?, ?, ?, ?)", 1, 7, 2, "nothing"));
        } catch (SQLException error) {
            System.out.println("error " + error.getSQLState());
        }
    }
}
