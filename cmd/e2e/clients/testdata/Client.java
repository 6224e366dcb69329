import java.io.FileInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/**
 * Client opens addresses, one after the other, with the JDK's HttpClient as it is by default, and prints each status and body. It sends
 * JSON to the first one.
 */
public class Client {
    public static void main(String[] addresses) throws Exception {
        HttpClient client = HttpClient.newBuilder().sslContext(trusted()).build();
        var body = BodyPublishers.ofString("{\"messages\":[]}");
        for (String address : addresses) {
            var request = HttpRequest.newBuilder(URI.create(address));
            var response = client.send((body != null ? request.POST(body) : request).build(), BodyHandlers.ofString());
            System.out.println(response.statusCode() + " " + response.body());
            body = null;
        }
    }

    /** trusted has the authority that other programs find in a file of PEM, which Java can't be told. */
    private static SSLContext trusted() throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null);
        try (var file = new FileInputStream(System.getenv("SSL_CERT_FILE"))) {
            store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(file));
        }
        var managers = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        managers.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, managers.getTrustManagers(), null);
        return context;
    }
}
