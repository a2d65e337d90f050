import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Properties;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

/** Send clicks, one JSON object a line on standard input, with Kafka's own client. */
public class Produce {
    private static final Pattern SESSION = Pattern.compile("\"session_id\"\\s*:\\s*\"([^\"\\\\]+)\"");

    public static void main(String[] arguments) throws Exception {
        String given = System.getenv("CLICKSTREAM_KAFKA_BOOTSTRAP");
        Properties settings = new Properties();
        settings.put("bootstrap.servers", given == null ? "127.0.0.1:19092" : given);
        settings.put("enable.idempotence", "true");
        settings.put("partitioner.ignore.keys", "false"); // the default: murmur2 of the key, no partitioner.class
        var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            for (String line; (line = in.readLine()) != null; ) {
                Matcher session = SESSION.matcher(line);
                if (!session.find()) throw new IllegalArgumentException(line);
                producer.send(new ProducerRecord<>("clicks", session.group(1), line)).get();
            }
        }
    }
}
